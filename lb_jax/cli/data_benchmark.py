"""`lb-jax data check --benchmark NAME --root DIR`: what of a published test set is on disk."""

import concurrent.futures
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser, add_settings, given_settings, make_folder
from lb_jax.core import errors, logging
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import noun

ARGUMENT = "--benchmark"
_SHOWN = 10  # names of each kind on the screen; the report has all


def asked_for(argv: Sequence[str]) -> bool:
    """Whether arguments of `data check` name a published test set."""
    return any(one == ARGUMENT or one.startswith(f"{ARGUMENT}=") for one in argv)


def main(argv: Sequence[str]) -> None:
    """Reads a test set and prints what is there, what is missing, and what is wrong.

    Raises:
      ConfigError: no such test set.
      DataError: no such folder, or its annotation is absent or unreadable.
    """
    from lb_jax.evaluation.benchmarks import layouts
    from lb_jax.evaluation.benchmarks.layouts import pictures
    from lb_jax.media.settings import Settings

    parser = Parser(
        "data check --benchmark",
        "Looks for the files of a published test set and compares it with the published counts. "
        f"Names: {', '.join(layouts.LAYOUTS)}.",
    )
    parser.add_argument(ARGUMENT, required=True, metavar="NAME", help="the test set")
    parser.add_argument(
        "--root",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder that holds the test sets' folders, each under its NAME",
    )
    parser.add_argument("--decode", action="store_true", help="decode every file too")
    parser.add_argument(
        "--json", "--report", type=Path, metavar="FILE", help="JSON file for the whole report"
    )
    parser.add_argument(
        "--write-list",
        action="store_true",
        help=f"for {', '.join(pictures.LISTED)}: write the items that are there now into "
        f"{pictures.LIST}, so that a file that goes missing later is named",
    )
    add_settings(parser)
    arguments = parser.parse_args(argv)
    given = Settings(**given_settings(arguments))
    name = arguments.benchmark
    if name not in layouts.LAYOUTS:
        raise errors.ConfigError(
            f"{ARGUMENT} is {name!r}; expected one of {', '.join(layouts.LAYOUTS)}."
            f"{errors.nearest(name, layouts.LAYOUTS)}"
        )
    if arguments.write_list and name not in pictures.LISTED:
        raise errors.ConfigError(
            f"--write-list is for {', '.join(pictures.LISTED)}; {name} has an annotation that "
            "lists its items. Leave it out."
        )
    if arguments.json:
        make_folder(arguments.json.parent, "--json")
        if arguments.json.is_dir():
            raise errors.ConfigError(f"--json: {arguments.json} is a folder; give a file.")
    layout, folder = layouts.LAYOUTS[name], arguments.root / name
    if not folder.is_dir():
        raise errors.DataError(
            folder,
            f"no such folder; {layout.title} is expected as {folder}: {layout.tree}. --root is the "
            "folder that holds the test sets' folders.",
        )
    split = layout.read(folder)
    if arguments.write_list:
        if (folder / pictures.LIST).exists():
            raise errors.DataError(
                folder / pictures.LIST, "is there already; remove it to list what is there now"
            )
        text = "".join(f"{id_}\n" for id_ in split.ids)
        (folder / pictures.LIST).write_text(text, encoding="utf-8")
        print(folder / pictures.LIST)
    if arguments.decode:
        found = unreadable(split, folder, given)
        split = dataclasses.replace(split, problems=(*split.problems, *found))
    report = as_dict(name, layout, split, folder)
    print("\n".join(lines(report)))
    if name in pictures.LISTED and not (folder / pictures.LIST).is_file():
        print(f"  no {pictures.LIST}: a lost file would not be named; --write-list writes it")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(arguments.json)


def unreadable(split, folder: Path, settings=None) -> list:
    """Decodes every file of a split as its modality, whole; an image may be a frame of a video.

    Returns:
      A problem for each item and modality that cannot be decoded, in the order of the split.
    """
    from lb_jax.evaluation.benchmarks import splits
    from lb_jax.media import preprocess, specs
    from lb_jax.media.settings import NOTHING

    known = (settings or NOTHING).apply(specs.PRESETS["default"], str(folder))

    def reason(job: tuple[str, str, Path]) -> str | None:
        modality, _, path = job
        is_video = path.suffix.lower() in MODALITIES["video"].suffixes
        kind = "video" if modality == "image" and is_video else modality
        try:
            preprocess.decode(kind, path, known[kind])
        except errors.DataError as error:
            return error.reason
        return None

    jobs = [
        (modality, id_, clip.path)
        for modality, clips in split.media.items()
        for id_, clip in clips.items()
    ]
    found = []
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        logging.Progress(f"decode {folder}", len(jobs), unit="file") as progress,
    ):
        for (modality, id_, path), why in zip(jobs, pool.map(reason, jobs), strict=True):
            if why is not None:
                below = path.relative_to(folder).as_posix()
                found.append(splits.Problem(splits.UNREADABLE, id_, f"{below}: {why}", modality))
            progress.advance(1, f"{len(found)} bad")
    return found


def as_dict(name: str, layout, split, folder: Path) -> dict:
    """The report as JSON values."""
    from lb_jax.evaluation.benchmarks import splits

    def count(kind: str, modality: str | None) -> int:
        return sum((one.kind, one.modality) == (kind, modality) for one in split.problems)

    return {
        "benchmark": name,
        "title": layout.title,
        "folder": str(folder),
        "published": dict(layout.counts),
        "items": len(split.ids),
        "left_out": sum(one.kind == splits.ANNOTATION for one in split.problems),
        "repeated": count(splits.DUPLICATE, None),
        "captions": sum(map(len, split.texts.values())),
        "questions": sum(map(len, split.questions.values())),
        "labels": len({label for labels in split.labels.values() for label in labels}),
        "modalities": {
            modality: {
                "on_disk": len(clips),
                "missing": len(split.ids) - len(clips),
                "extra": count(splits.EXTRA, modality),
                "duplicates": count(splits.DUPLICATE, modality),
                "unreadable": count(splits.UNREADABLE, modality),
            }
            for modality, clips in split.media.items()
        },
        "problems": [
            dataclasses.asdict(one)
            for one in sorted(split.problems, key=lambda one: splits.KINDS.index(one.kind))
        ],
    }


def lines(report: dict) -> list[str]:
    """The report as text."""
    published = report["published"]
    found = [
        f"{report['folder']}: {report['title']}",
        f"  items    {_of(report['items'], published['items'])}; "
        f"{_some(report['left_out'], 'row')} left out, "
        f"{_some(report['repeated'], 'row')} or captions repeated",
    ]
    for modality, one in report["modalities"].items():
        bad = f", {one['unreadable']:,} unreadable" if one["unreadable"] else ""
        found.append(
            f"  {modality:8} {_of(one['on_disk'], published['items'])} on disk; "
            f"{one['missing']:,} missing, {one['extra']:,} extra, "
            f"{_some(one['duplicates'], 'duplicate')}{bad}"
        )
    if report["captions"]:
        found.append(f"  captions {_of(report['captions'], published['captions'])}")
    if report["questions"]:
        found.append(f"  questions {_of(report['questions'], published['questions'])}")
    if report["labels"]:
        found.append(f"  labels   {report['labels']:,} different ones")
    by_kind: dict[str, list[dict]] = {}
    for one in report["problems"]:
        by_kind.setdefault(one["kind"], []).append(one)
    for kind, ones in by_kind.items():
        for one in ones[:_SHOWN]:
            modality = f" ({one['modality']})" if one["modality"] else ""
            found.append(f"  {kind}: {one['name']}{modality}: {one['reason']}")
        if len(ones) > _SHOWN:
            found.append(f"  and {len(ones) - _SHOWN:,} more {kind}; --json FILE lists them all")
    return found


def _some(count: int, what: str) -> str:
    return f"{count:,} {noun(count, what)}"


def _of(count: int, published: int | None) -> str:
    """A count against the published one, if there is any."""
    return f"{count:,} of {published:,} published" if published else f"{count:,}"

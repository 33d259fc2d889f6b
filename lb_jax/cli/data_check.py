"""`lb-jax data check CORPUS`."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lb_jax.cli import corpus_arguments
from lb_jax.cli.arguments import Parser, add_settings, given_settings, make_folder
from lb_jax.core import errors, notices
from lb_jax.core.words import counted

_LOOKED_AT = 200  # rows, for whether files of a modality are there
_SHOWN = 10  # bad files and frequent captions on the screen; the report has all


def main(argv: Sequence[str]) -> None:
    """Decodes everything in parallel and prints what there is, what is bad, how fast it loads."""
    from lb_jax.evaluation.benchmarks import layouts
    from lb_jax.media.settings import Settings

    parser = Parser(
        "data check",
        "Decodes every file of a corpus and tokenises every caption; prints bad files, sizes, "
        "durations, repeated and truncated captions and throughput. With --benchmark NAME "
        "--root DIR it looks for the files of a published test set instead; NAME is one of "
        f"{', '.join(layouts.LAYOUTS)} (lb-jax data check --benchmark NAME --help tells more).",
    )
    corpus_arguments.add_source(parser)
    corpus_arguments.add_only(parser, "modalities to decode (default: all that have files)")
    parser.add_argument("--preset", default="default", help="preprocessing: default or reference")
    parser.add_argument(
        "--context", type=at_least_one, default=77, help="tokens the text tower takes"
    )
    parser.add_argument("--processes", type=at_least_one, help="one per processor without it")
    parser.add_argument("--report", type=Path, help="JSON file for the whole report")
    parser.add_argument(
        "--batch-size", type=at_least_one, default=256, help="of the training planned"
    )
    parser.add_argument(
        "--step-s",
        type=positive,
        help="seconds that a training step takes on the accelerator: tells the share loading costs",
    )
    add_settings(parser)
    arguments = parser.parse_args(argv)
    given = Settings(**given_settings(arguments))
    if arguments.report:
        make_folder(arguments.report.parent, "--report")
        if arguments.report.is_dir():
            raise errors.ConfigError(f"--report: {arguments.report} is a folder; give a file.")

    from lb_jax.corpora import check
    from lb_jax.media import specs

    source = corpus_arguments.open_source(arguments)
    names, absent = present(source, arguments.only or source.modalities)
    if not names:
        raise errors.DataError(
            source.where, f"no file of {', '.join(absent)} is there; see --root and --modality."
        )
    report = check.check(
        source,
        given.apply(
            {name: specs.preset(name, arguments.preset) for name in names}, str(source.where)
        ),
        processes=arguments.processes,
        context=arguments.context,
    )
    print("\n".join(lines(report, absent, arguments.batch_size, arguments.step_s)))
    if arguments.report:
        arguments.report.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
        print(arguments.report)


def at_least_one(text: str) -> int:
    """Reads a whole number from 1 on."""
    if not text.isdigit() or not int(text):
        raise errors.ConfigError(f"{text!r} is no whole number from 1 on.")
    return int(text)


def positive(text: str) -> float:
    """Reads a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise errors.ConfigError(f"{text!r} is no number above 0.")
    return value


def present(source, modalities: Sequence[str]) -> tuple[list[str], list[str]]:
    """Modalities that rows carry with some file there, and the others.

    An annotation names where files of every modality would be, so some rows are looked at.
    """
    there = [name for name in modalities if any(map(exists, sampled_files(source, name)))]
    return there, [name for name in modalities if name not in there]


def sampled_files(source, modality: str) -> Iterator:
    """Files of some rows, spread over those that carry a modality."""
    rows = source.having(modality)
    for place in sorted({i * (len(rows) - 1) // _LOOKED_AT for i in range(_LOOKED_AT + 1)}):
        if len(rows):
            with contextlib.suppress(errors.DataError):  # what cannot be read is reported later
                yield from source[int(rows[place])].media.get(modality, ())


def exists(file) -> bool:
    """Whether a file is there, or is its own content."""
    file = getattr(file, "file", file)  # of depth in a unit of its own
    return not isinstance(file, Path) or file.exists()


def lines(report, absent: Sequence[str], batch_size: int, step_s: float | None) -> list[str]:
    """The report as text."""
    from lb_jax.corpora import check

    found = [
        f"{report.where}: {counted(report.rows, 'row')}, {report.wall_s:.1f} s in "
        f"{counted(report.processes, 'process')}"
    ]
    told = report.as_dict()
    for name, one in told["modalities"].items():
        text = f"  {name:8} {one['files']} good, {one['bad']} bad"
        if one["files"]:
            text += f", {one['samples_per_s_per_process']:.1f} per second and process"
            common = list(one["sizes"].items())[:3]
            text += "".join(f"; {size} x{count}" for size, count in common)
            if one["duration_s"]:
                text += "; {min:.1f} to {max:.1f} s, {total:.0f} s in all".format(
                    **one["duration_s"]
                )
            if step_s:
                share = check.loading_share(report, name, batch_size, step_s)
                text += f"; loading {batch_size} takes {100 * share:.0f} % of a step"
        found.append(text)
    if absent:
        found.append(f"  no files of {', '.join(absent)}")
    texts = told["captions"]
    kinds = (f"{kind} in {counted(n, 'row')}" for kind, n in texts["kinds"].items())
    found.append(
        f"  captions {texts['count']}, {texts['repeated']} of them repeated, "
        f"{texts['truncated']} truncated, {texts['bad']} bad; by kind: "
        + (", ".join(kinds) or "none")
    )
    if texts["rows_without"]:
        found.append(f"    {counted(texts['rows_without'], 'row')} without a caption")
    found += [f"    x{count} {text[:80]}" for text, count in texts["most_repeated"].items()]
    found += [f"  bad: {one.path}: {one.reason}" for one in report.bad[:_SHOWN]]
    if len(report.bad) > _SHOWN:
        found.append(f"  and {len(report.bad) - _SHOWN} more bad; --report lists them all")
    told = notices.told((one.path, one.reason) for one in report.remarks)
    found += [f"  warning: {line}" for line in told]
    return found

"""Reads a labelled corpus: media files, their attributes, prompts of the tasks, captions.

    attributes.json   id -> {"split", "category", …, "files": {modality: path in the corpus}};
                      "depth_unit" of depth that is not in the unit of the preprocessing
    prompts.json      "modality/attribute" -> class -> list of texts
    <split>.json      VIDAL annotation: id -> {"raw", "mplug", "polish_mplug", "sound_mplug", "ofa"}

Attributes and prompts are for scoring only; training never reads them. Own data, which are no such
folder, become the same in `evaluation.own`.
"""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lb_jax.core import errors, modalities, names
from lb_jax.core.words import counted
from lb_jax.corpora import seen
from lb_jax.corpora.manifest import UNIT
from lb_jax.corpora.rows import Source
from lb_jax.evaluation.benchmarks import splits
from lb_jax.media.clips import Clip
from lb_jax.media.sensors import depth_units
from lb_jax.media.sensors.depth_units import Measured


@dataclasses.dataclass(frozen=True)
class Task:
    """One zero-shot task: tell an attribute of the item from one modality.

    Attributes:
      name: "modality/attribute", as in `prompts.json`.
      prompts: class -> the texts that describe it; the order of the classes is the order of the
        score columns.
    """

    name: str
    prompts: dict[str, list[str]]

    @property
    def modality(self) -> str:
        """The modality that is looked at, such as "image"."""
        return self.name.split("/")[0]

    @property
    def attribute(self) -> str:
        """The attribute that is told, such as "category"."""
        return self.name.split("/")[1]


@dataclasses.dataclass(frozen=True)
class Inside:
    """Media that are no single file: read out of their corpus each time they are asked for."""

    source: Source
    row: int
    modality: str

    def read(self) -> Any:
        """The content of a file, or the stills of a clip.

        Raises:
          errors.DataError: the row cannot be read.
        """
        return middle(self.source[self.row].media[self.modality])


def middle(files: Sequence[Any]) -> Any:
    """Of the files of an item, one for each frame, that which stands for it."""
    return files[len(files) // 2]


File = pathlib.Path | Inside
# how own data are divided for a calibration, in words
HALVES = "by the SHA-256 of the captions: fitted to one half of them, held out the other"


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One split of a labelled corpus, items in the order of `attributes.json`; or own data.

    Attributes:
      root: the corpus folder; of own data what was opened.
      ids: the items.
      attributes: id -> attribute -> value.
      files: id -> modality -> file.
      prompts: task name -> class -> texts.
      captions: id -> the annotation row.
      units: id -> unit of its depth, of those that have one of their own.
      kinds: modality -> kind of its captions; what is not there has the modality's usual one.
      by_caption: whether items of an equal caption are right for each other, and are divided
        together.
      problems: rows that cannot be used, and why.
    """

    root: pathlib.Path
    ids: tuple[str, ...]
    attributes: dict[str, dict[str, str]]
    files: Mapping[str, Mapping[str, File]]
    prompts: dict[str, dict[str, list[str]]]
    captions: dict[str, dict]
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)
    by_caption: bool = False
    problems: tuple[splits.Problem, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The zero-shot tasks in the order of `prompts.json`."""
        return tuple(Task(name, prompts) for name, prompts in self.prompts.items())

    def having(self, *names: str) -> tuple[str, ...]:
        """Returns the ids that have a file of every named modality."""
        return tuple(id_ for id_ in self.ids if all(name in self.files[id_] for name in names))

    def caption(self, id_: str, kind: str) -> str:
        """Returns one caption, of several the first.

        Raises:
          errors.DataError: the annotation has no such text.
        """
        given = self.captions[id_].get(kind)
        texts = [given] if isinstance(given, str) else given or ()
        text = next((one for one in texts if isinstance(one, str) and one.strip()), None)
        if text is None:
            raise errors.DataError(
                f"{self.root}, item {id_}",
                f"has no text under {kind!r} ({given!r}), its annotation has "
                f"{', '.join(self.captions[id_])}; add the text",
            )
        return text

    def said(self, id_: str, modality: str) -> str:
        """The caption of an item that a modality is scored with.

        Raises:
          errors.DataError: as `caption`.
        """
        usual = modalities.MODALITIES[modality].text_kind
        return self.caption(id_, self.kinds.get(modality, usual))

    def half(self, id_: str) -> str:
        """What decides by its hash which half of a calibration an item is in."""
        return json.dumps(self.captions[id_], sort_keys=True) if self.by_caption else id_

    def media(self, id_: str, name: str) -> Any:
        """What a model embeds for one item and modality.

        Raises:
          errors.DataError: it lies inside of a corpus and cannot be read.
        """
        file, unit = self.files[id_][name], self.units.get(id_)
        found = file.read() if isinstance(file, Inside) else str(file)
        is_measured = name != "depth" or not unit or isinstance(found, Measured)
        return found if is_measured else Measured(found, unit)

    def shown(self, id_: str, name: str) -> str:
        """What the file of an item is called: below the corpus folder, or as it is."""
        file = self.files[id_][name]
        if isinstance(file, Inside):
            return id_
        below = file.is_relative_to(self.root)
        return names.shown(file.relative_to(self.root).as_posix() if below else file)

    def trained_on(self, known: Mapping[str, Collection[bytes]]) -> int:
        """How many of the items are among the rows that a model was trained on.

        Args:
          known: modality -> what `corpora.seen` knows rows by; what is not there is not known.
        """
        return sum(
            any(
                isinstance(file, pathlib.Path)
                and not seen.of_row(file, self.said(id_, name)).isdisjoint(known.get(name, ()))
                for name, file in self.files[id_].items()
            )
            for id_ in self.ids
        )

    def clip(self, id_: str, name: str) -> Clip:
        """The file of one item and modality.

        Raises:
          errors.DataError: it is no single file.
        """
        file, unit = self.files[id_][name], self.units.get(id_, "") if name == "depth" else ""
        if isinstance(file, Inside):
            raise errors.DataError(
                f"{self.root}, item {id_}",
                "its media are no single file, as --tasks needs them; leave --tasks out, or write "
                "the files out and name them in a manifest",
            )
        return Clip(file, depth_unit=unit)

    def as_split(self, names: Sequence[str]) -> splits.Split:
        """The items as those of a benchmark, each with the captions of all named modalities.

        Raises:
          errors.DataError: an item lacks the caption of a modality that it has a file of.
        """
        texts = {}
        for id_ in self.ids:
            said = [self.said(id_, name) for name in names if name in self.files[id_]]
            texts[id_] = tuple(dict.fromkeys(said))
        media = {name: {id_: self.clip(id_, name) for id_ in self.having(name)} for name in names}
        texts = {id_: said for id_, said in texts.items() if said}
        return splits.Split(self.ids, media, texts, problems=self.problems)


def is_corpus(path: str | pathlib.Path) -> bool:
    """Whether a path is a folder that has the layout of a labelled corpus, or a part of it."""
    return any(
        (pathlib.Path(path) / name).is_file() for name in ("attributes.json", "prompts.json")
    )


def read(corpus_dir: str | pathlib.Path, split: str = "test") -> Labelled:
    """Reads one split of a labelled corpus and checks that its parts fit together.

    Args:
      corpus_dir: folder with `attributes.json`, `prompts.json` and `<split>.json`.
      split: value of the items' "split".

    Raises:
      DataError: a part is missing or does not fit another; the message gives the first problem and
        how many there are.
    """
    root = pathlib.Path(corpus_dir)
    everything = _object(root / "attributes.json")
    prompts = _object(root / "prompts.json")
    counts = collections.Counter(str(row.get("split")) for row in everything.values())
    if split not in counts:
        found = ", ".join(f"{n} of {name!r}" for name, n in counts.items()) or "no items"
        raise errors.DataError(
            root / "attributes.json",
            f"no items of split {split!r}, found {found}; name one of those",
        )
    rows = {id_: row for id_, row in everything.items() if row.get("split") == split}
    captions = _object(root / f"{split}.json")
    problems = [
        *_file_problems(root, rows),
        *(
            f"item {id_} is not in {split}.json; add its captions"
            for id_ in rows
            if id_ not in captions
        ),
        *_prompt_problems(prompts, rows),
    ]
    if problems:
        more = f" (and {counted(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
        raise errors.DataError(root, problems[0] + more)
    return Labelled(
        root=root,
        ids=tuple(rows),
        attributes={
            id_: {k: str(v) for k, v in row.items() if k not in ("split", "files", UNIT)}
            for id_, row in rows.items()
        },
        files={
            id_: {name: root / path for name, path in row["files"].items()}
            for id_, row in rows.items()
        },
        prompts=prompts,
        captions={id_: captions[id_] for id_ in rows},
        units={id_: str(row[UNIT]) for id_, row in rows.items() if row.get(UNIT)},
    )


def _object(path: pathlib.Path) -> dict:
    """The JSON object of objects in a file."""
    if not path.is_file():
        raise errors.DataError(
            path,
            "no such file; a labelled corpus has attributes.json, prompts.json and one "
            "<split>.json per split",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # covers text that is not UTF-8 too
        raise errors.DataError(path, f"is not JSON ({error}); write it again") from error
    if not isinstance(content, dict) or not all(
        isinstance(value, dict) for value in content.values()
    ):
        raise errors.DataError(path, "expected a JSON object whose values are objects")
    return content


def _file_problems(root: pathlib.Path, rows: dict) -> list[str]:
    problems = []
    for id_, row in rows.items():
        if row.get(UNIT) and (wrong := depth_units.unknown([str(row[UNIT])])):
            problems.append(f"item {id_}: {wrong[1].removesuffix('.')}")
        if not isinstance(row.get("files"), dict) or not row["files"]:
            problems.append(
                f'item {id_} names no files in attributes.json, expected "files": '
                f"{{modality: path}}"
            )
            continue
        for name, path in row["files"].items():
            if name not in modalities.MODALITIES:
                hint = errors.nearest(name, modalities.MODALITIES)
                problems.append(
                    f"item {id_} has a file of modality {name!r}, expected "
                    f"{', '.join(modalities.MODALITIES)}.{hint}"
                )
            elif not isinstance(path, str) or not (root / path).is_file():
                problems.append(
                    f"item {id_} names the {name} file {path}, which is not there; write the "
                    "corpus again"
                )
    return problems


def _prompt_problems(prompts: dict, rows: dict) -> list[str]:
    problems = []
    for task, classes in prompts.items():
        modality, _, attribute = task.partition("/")
        if modality not in modalities.MODALITIES or not attribute:
            problems.append(
                f"prompts.json has the task {task!r}, expected modality/attribute such as "
                "'image/category'"
            )
            continue
        for name, texts in classes.items():
            if (
                not isinstance(texts, list)
                or not texts
                or not all(isinstance(t, str) and t.strip() for t in texts)
            ):
                problems.append(
                    f"prompts.json: class {name!r} of {task} needs a list of texts, none of "
                    "them empty"
                )
        if len(classes) < 2:
            problems.append(
                f"prompts.json: task {task} has {counted(len(classes), 'class')}, expected at "
                "least 2"
            )
        present = [row for row in rows.values() if modality in (row.get("files") or {})]
        for label in dict.fromkeys(str(row.get(attribute)) for row in present):
            if label not in classes:
                hint = errors.nearest(label, classes)
                problems.append(
                    f"prompts.json: task {task} has no class {label!r}, which items have; add its "
                    f"texts.{hint}"
                )
    return problems

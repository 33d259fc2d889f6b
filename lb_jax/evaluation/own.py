"""Own data as a labelled corpus: any corpus that training opens, scored by its own captions.

Classes are those that rows name (`rows.Row.label`). Their prompts are the templates of the
published benchmarks, with the word of the modality.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

from lb_jax.core import errors
from lb_jax.corpora import captions
from lb_jax.corpora.manifest import LABEL
from lb_jax.corpora.rows import Row, Source, name_of
from lb_jax.evaluation import labelled
from lb_jax.evaluation.benchmarks import prompts, splits
from lb_jax.media.sensors.depth_units import Measured

# modality -> templates and the word in them, as for the published data sets of that modality
TEMPLATES: dict[str, tuple[str, str | None]] = {
    "image": ("photo", None),
    "video": ("photo", "video"),
    "depth": ("photo", "depth photo"),
    "thermal": ("photo", None),
    "audio": ("sound", None),
    "imu": ("photo", "video"),  # what moves is seen
}


def read(path: str | pathlib.Path, source: Source, modalities: Sequence[str]) -> labelled.Labelled:
    """Reads the rows of a corpus.

    A row is called by its id where it has one and by its file otherwise, so that nothing depends on
    the order of the rows. Of several captions the first counts, of several frames the middle one.

    Args:
      path: what was opened, for messages.
      source: the corpus.
      modalities: those that the model has; others are not looked at.

    Raises:
      DataError: the corpus has none of them, lacks the captions, or has no row that can be used.
    """
    names = [name for name in modalities if name in source.modalities]
    if not names:
        raise errors.DataError(
            path,
            f"has {', '.join(source.modalities)}, the model {', '.join(modalities)}; give a corpus "
            "or a model that fits",
        )
    kinds = {name: captions.usual_kind(source.text_kinds, name) for name in names}
    source.require(dict.fromkeys(kinds.values()))
    found = _Found({}, {}, {}, {}, [])
    for number in range(len(source)):
        try:
            row = source[number]
        except errors.DataError as error:
            found.problems.append(splits.Problem(splits.ANNOTATION, error.path, error.reason))
            continue
        _add(row, number, source, kinds, found)
    if not found.files:
        first = next((f": {one.name}: {one.reason}" for one in found.problems), "")
        raise errors.DataError(path, f"has no row that can be used{first}; mend it")
    return labelled.Labelled(
        root=pathlib.Path(path),
        ids=tuple(found.files),
        attributes=found.attributes,
        files=found.files,
        prompts=_prompts(found),
        captions=found.captions,
        units=found.units,
        kinds=kinds,
        by_caption=True,
        problems=tuple(found.problems),
    )


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the rows hold, by the name of a row."""

    files: dict[str, dict[str, labelled.File]]
    captions: dict[str, dict[str, str]]
    attributes: dict[str, dict[str, str]]
    units: dict[str, str]
    problems: list[splits.Problem]


def _add(row: Row, number: int, source: Source, kinds: dict[str, str], found: _Found) -> None:
    """Files a row under what was found, as far as it can be used."""
    said = {kind: text for kind in kinds.values() if (text := _caption(row, kind))}
    held = [name for name in kinds if name in row.media]
    if not held:
        return
    files: dict[str, labelled.File] = {}
    unit, called = "", row.id
    for name in held:
        try:
            one = labelled.middle(row.media[name])
        except errors.DataError as error:
            found.problems.append(splits.Problem(splits.UNREADABLE, row.id, error.reason, name))
            continue
        if isinstance(one, Measured):
            one, unit = one.file, str(one.unit)
        if row.id == str(number) and called == row.id:
            called = name_of(one, row.id)
        if kinds[name] in said:
            is_file = isinstance(one, pathlib.Path)
            files[name] = one if is_file else labelled.Inside(source, number, name)
        else:
            reason = f"has no {kinds[name]}; fill it in"
            found.problems.append(splits.Problem(splits.ANNOTATION, called, reason, name))
    if not files:
        return
    if found.captions.get(called, said) != said:  # a file of several rows
        called = " | ".join((called, *dict.fromkeys(said.values())))
    if called in found.files:
        reason = "the same file and caption as a row before; left out"
        found.problems.append(splits.Problem(splits.DUPLICATE, called, reason))
        return
    found.files[called], found.captions[called] = files, said
    found.attributes[called] = {LABEL: row.label} if row.label else {}
    if unit:
        found.units[called] = unit


def _caption(row: Row, kind: str) -> str:
    """The first caption of a kind that holds words; empty for none."""
    return next((text for text in captions.all_texts(row, kind) if text.strip()), "")


def _prompts(found: _Found) -> dict[str, dict[str, list[str]]]:
    """Task -> class -> texts, for every modality whose items are of two classes or more."""
    tasks = {}
    for name, (kind, word) in TEMPLATES.items():
        of = {
            one.get(LABEL, "") for id_, one in found.attributes.items() if name in found.files[id_]
        }
        classes = sorted(of - {""})
        if len(classes) > 1:
            texts = prompts.templates(kind, word)
            tasks[f"{name}/{LABEL}"] = {
                label: [text.format(label.replace("_", " ")) for text in texts] for label in classes
            }
    return tasks

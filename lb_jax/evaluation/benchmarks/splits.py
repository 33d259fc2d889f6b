"""What a reader of a published data set returns, whatever its layout on disk."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from lb_jax.media.clips import Clip

# what may be wrong, from what changes a score to what is only worth knowing
MISSING = "missing"  # annotated, not on disk
UNREADABLE = "unreadable"  # on disk, cannot be decoded
DUPLICATE = "duplicate"  # the same item, file or caption twice
ANNOTATION = "annotation"  # a row that cannot be used
TRUNCATED = "truncated"  # a text longer than the context
EXTRA = "extra"  # on disk, not annotated
KINDS = (MISSING, UNREADABLE, DUPLICATE, ANNOTATION, TRUNCATED, EXTRA)


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something a user should know of a data set.

    Attributes:
      kind: one of `KINDS`.
      name: the item, or the file relative to the data set's folder.
      reason: what was found, and what happens now.
      modality: that it concerns; None for the item as a whole.
    """

    kind: str
    name: str
    reason: str
    modality: str | None = None


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about an item, and the answer of the annotation, as it is written there."""

    text: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Split:
    """The test items of a data set, as far as they are on disk.

    Attributes:
      ids: every item that the annotation lists, once, in its order.
      media: modality -> item -> where it is; items without a file are left out.
      texts: item -> its captions; empty where items have classes instead.
      labels: item -> its labels on disk, keys of the class names; empty where items have captions.
      problems: what is missing, extra, twice, or cannot be used.
      questions: item -> what is asked about it; empty where nothing is.
    """

    ids: tuple[str, ...]
    media: Mapping[str, Mapping[str, Clip]]
    texts: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    questions: Mapping[str, tuple[Question, ...]] = dataclasses.field(default_factory=dict)

    def merged(self, other: "Split", root: Path) -> "Split":
        """Both, where they are parts of the data set in `root`; no file of one is an extra."""
        modalities = dict.fromkeys((*self.media, *other.media))
        media = {
            name: {**self.media.get(name, {}), **other.media.get(name, {})} for name in modalities
        }
        clips = (clip for ones in media.values() for clip in ones.values())
        used = {clip.path.relative_to(root).as_posix() for clip in clips}
        problems = dict.fromkeys((*self.problems, *other.problems))
        kept = [one for one in problems if one.kind != EXTRA or one.name not in used]
        return Split(
            ids=tuple(dict.fromkeys((*self.ids, *other.ids))),
            media=media,
            texts={**self.texts, **other.texts},
            labels={**self.labels, **other.labels},
            problems=tuple(kept),
            questions={**self.questions, **other.questions},
        )

    def in_unit(self, unit: str) -> "Split":
        """The same items, their depth in a unit, for who looks at the files without the model."""
        depth = {
            id_: dataclasses.replace(clip, depth_unit=clip.depth_unit or unit)
            for id_, clip in self.media.get("depth", {}).items()
        }
        return dataclasses.replace(self, media={**self.media, "depth": depth}) if depth else self


@dataclasses.dataclass(frozen=True)
class Part:
    """One division of a data set: the items to learn from, and those to be told."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Divided:
    """A data set with what its classes are learnt from.

    Attributes:
      split: all its items, those to learn from and those of the test.
      parts: name -> a division; folds are several.
      classes: label on disk -> its name in print, in the order of the columns.
      unsure: item -> labels of which the annotation says neither yes nor no; they count neither in
        training nor in the test.
    """

    split: Split
    parts: Mapping[str, Part]
    classes: Mapping[str, str]
    unsure: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

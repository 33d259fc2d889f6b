"""Collects the items of a data set and everything that is wrong with them."""

import collections
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import splits
from lb_jax.evaluation.benchmarks.layouts import annotations
from lb_jax.evaluation.benchmarks.layouts.files import Files, is_name, is_text
from lb_jax.media.clips import Clip

_SHOWN = 60  # characters of a caption in a reason


class Reading:
    """A split in the making.

    Args:
      root: the data set's folder.
      classes: labels that items may have.

    Attributes:
      root: as given.
      ids: the items so far.

    Raises:
      errors.DataError: there is no such folder.
    """

    def __init__(self, root: Path, classes: Collection[str] = ()):
        annotations.require_folder(root)
        self.root, self._classes = root, classes
        self.ids: dict[str, None] = {}
        self._texts: dict[str, tuple[str, ...]] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._questions: dict[str, tuple[splits.Question, ...]] = {}
        self._media: dict[str, dict[str, Clip]] = {}
        self._hints: dict[str, str] = {}
        self._problems: list[splits.Problem] = []

    def problem(self, kind: str, name: str, reason: str, modality: str | None = None) -> None:
        """Notes a problem, in text that can be printed."""
        name, reason = (
            one if is_text(one) else one.encode("utf-8", "backslashreplace").decode()
            for one in (name, reason)
        )
        self._problems.append(splits.Problem(kind, name, reason, modality))

    def bad_row(self, name: str, reason: str) -> None:
        """Notes a row that cannot be used."""
        self.problem(splits.ANNOTATION, name, f"{reason}; it is left out")

    def is_named(self, id_: object, where: str) -> bool:
        """Whether an annotated name is one of a file; notes it otherwise."""
        if isinstance(id_, str) and is_name(id_):
            return True
        self.bad_row(str(id_) or where, f"{where}: {id_!r} is no plain name of a file")
        return False

    def is_new(self, id_: str, where: str) -> bool:
        """Whether an item comes for the first time; notes it otherwise."""
        if id_ in self.ids:
            self.problem(
                splits.DUPLICATE, id_, f"{where} lists it again; the first place that does counts"
            )
        return id_ not in self.ids

    def add(
        self,
        id_: str,
        where: str,
        *,
        texts: Sequence[object] | None = None,
        labels: Sequence[str] | None = None,
        questions: Sequence[splits.Question] | None = None,
    ) -> bool:
        """Adds an item, once.

        Args:
          id_: its name.
          where: its row, for messages.
          texts: its captions, of data sets with captions.
          labels: its labels, of data sets with classes.
          questions: what is asked about it, one at least, of data sets with questions.

        Returns:
          Whether it was added; otherwise a problem says why not.
        """
        if not self.is_new(id_, where):
            return False
        if texts is not None:
            usable = [isinstance(one, str) and one.strip() and is_text(one) for one in texts]
            if not texts or not all(usable):
                self.bad_row(id_, f"{where}: has an empty caption, none, or one that is no text")
                return False
            self._texts[id_] = tuple(texts)
        if labels is not None:
            unknown = [label for label in labels if label not in self._classes]
            if unknown or not labels:
                found = self._unknown(unknown[0]) if unknown else "has no label"
                self.bad_row(id_, f"{where}: {found}")
                return False
            self._labels[id_] = tuple(dict.fromkeys(labels))
        if questions is not None:
            self._questions[id_] = tuple(questions)
        self.ids[id_] = None
        return True

    def expect(self, modality: str) -> None:
        """Says that items may have a modality, even if none has."""
        self._media.setdefault(modality, {})

    def find(
        self,
        modality: str,
        files: Files,
        id_: str,
        *names: str,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        """Looks for an item's file; notes it if there is none, or more than one.

        Args:
          modality: as which it is wanted.
          files: where it may lie.
          id_: the item.
          names: what the file may be called, without the ending; the item's name without any.
          start_s: where in the file the item begins.
          end_s: where it ends.
        """
        self.expect(modality)
        names = names or (id_,)
        found = files.named(*names)
        if not found:
            other = files.other(*names)
            instead = f" (there is {other.name}, an ending that is not read)" if other else ""
            self.problem(
                splits.MISSING,
                id_,
                f"no {files.modality} file {names[0]}.* in {files.expected}{instead}",
                modality,
            )
            return
        if len(found) > 1:
            below = [path.relative_to(self.root).as_posix() for path in found]
            self.problem(
                splits.DUPLICATE,
                id_,
                f"has {len(found)} files, {', '.join(below)}; the first is used",
                modality,
            )
        self._media[modality][id_] = Clip(found[0], start_s, end_s)

    def find_all(
        self,
        modality: str,
        files: Files,
        names: Callable[[str], Sequence[str]] = lambda id_: (id_,),
    ) -> None:
        """Looks for the file of every item, see `find`.

        Args:
          modality: as which it is wanted.
          files: where they may lie.
          names: item -> what its file may be called, without the ending.
        """
        self.expect(modality)
        for id_ in self.ids:
            self.find(modality, files, id_, *names(id_))

    def only(self, modality: str, id_: str, folder: str, hint: str = "") -> None:
        """Takes the one file of a folder that is the item's own; notes none, or more than one.

        Args:
          modality: as which it is wanted.
          id_: the item.
          folder: path below the data set's folder.
          hint: what to do about it, if there is none.
        """
        self.expect(modality)
        found = list(Files(self.root, modality, (folder,), deep=False))
        if not found:
            self.problem(splits.MISSING, id_, f"no {modality} file in {folder}/{hint}", modality)
            return
        if len(found) > 1:
            self.problem(
                splits.DUPLICATE, id_, f"has {len(found)} files in {folder}/; the first is used"
            )
        self._media[modality][id_] = Clip(found[0])

    def extras(self, *files: Files) -> None:
        """Notes the files that no item has."""
        for one in files:
            for name in one.unused():
                self.problem(splits.EXTRA, name, "no item of the test set; not used", one.modality)

    def split(self) -> splits.Split:
        """Returns what was read, captions that come twice noted, problems by weight."""
        self._repeated_captions()
        return splits.Split(
            ids=tuple(self.ids),
            media=self._media,
            texts=self._texts,
            labels=self._labels,
            questions=self._questions,
            problems=tuple(sorted(self._problems, key=lambda one: splits.KINDS.index(one.kind))),
        )

    def _unknown(self, label: str) -> str:
        """Says that a label is no class; the nearest one is looked for once."""
        if label not in self._hints:
            self._hints[label] = errors.nearest(label, self._classes).strip()
        hint = self._hints[label]
        return f"label {label!r} is no class" + (f" ({hint})" if hint else "")

    def _repeated_captions(self) -> None:
        first: dict[str, str] = {}
        for id_, texts in self._texts.items():
            for caption, count in collections.Counter(texts).items():
                shown = caption if len(caption) <= _SHOWN else f"{caption[:_SHOWN]}..."
                if count > 1:
                    self.problem(
                        splits.DUPLICATE, id_, f"has a caption {count} times, {shown!r}; kept"
                    )
                if first.setdefault(caption, id_) != id_:
                    self.problem(
                        splits.DUPLICATE, id_, f"has a caption of {first[caption]}, {shown!r}; kept"
                    )


def number(text: object) -> float | None:
    """Returns a finite number from 0 on, None for anything else."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    try:
        value = float(text)
    except (ValueError, OverflowError):
        return None
    return value if 0 <= value < float("inf") else None


def strings(values: object) -> Iterable[str] | None:
    """Returns a list of text as it is, None for anything else."""
    is_list = isinstance(values, list | tuple) and all(isinstance(one, str) for one in values)
    return values if is_list else None

"""Which rows are meant, as SQL."""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which rows a search looks at; all that is given must hold.

    Attributes:
      modalities: any of these; all when empty.
      under: a file, or a folder with all that is below it.
      after_s: windows that end later than this. Stills have no time and are left out.
      before_s: windows that start earlier than this. Stills are left out.
    """

    modalities: tuple[str, ...] = ()
    under: str | None = None
    after_s: float | None = None
    before_s: float | None = None

    def sql(self) -> str:
        """The condition as SQL; empty when there is none."""
        parts = []
        if self.modalities:
            parts.append(f"modality IN ({', '.join(map(quoted, self.modalities))})")
        if self.under is not None:
            folder = self.under.rstrip("/")
            # A range rather than LIKE, in which % and _ of a name would stand for anything:
            # "0" follows "/", so all that starts with "folder/" lies between the two.
            below = f"path >= {quoted(folder + '/')} AND path < {quoted(folder + '0')}"
            parts.append(f"(path = {quoted(self.under)} OR ({below}))")
        if self.after_s is not None:
            parts.append(f"end_s > {float(self.after_s)!r}")
        if self.before_s is not None:
            parts.append(f"start_s < {float(self.before_s)!r}")
        return " AND ".join(parts)


EVERYTHING = Filter()


def any_of(files: Iterable[tuple[str, str]]) -> str:
    """The condition that a row is of one of the files, (path, modality)."""
    grouped: dict[str, list[str]] = {}
    for path, modality in files:
        grouped.setdefault(modality, []).append(quoted(path))
    parts = (
        f"(modality = {quoted(modality)} AND path IN ({', '.join(paths)}))"
        for modality, paths in grouped.items()
    )
    return " OR ".join(parts) or "false"


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"

"""Files that are here: films and sounds in a folder, with what stands beside each.

NAME.mp4                 the file
NAME.info.json           what yt-dlp writes: title, tags, license, webpage_url, extractor, id
NAME.json                title, tags, licence, source, and whatever else
NAME.txt                 the title
.lb-jax (nothing)        without any of them the name is the title
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.builder.collecting import candidates, licences, settings
from lb_jax.builder.collecting.candidates import Allowed, Candidate, Fetched
from lb_jax.builder.hosts import Refused
from lb_jax.builder.store import FULL_DISK
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import json_files

ENDINGS = frozenset((*MODALITIES["video"].suffixes, *MODALITIES["audio"].suffixes))


class Folder:
    """A folder, with all below it.

    Args:
      path: of the folder.
      cfg: licence and source of what does not say.

    Raises:
      ConfigError: there is no such folder.
    """

    kind = "folder"
    is_searched = False

    def __init__(self, path: Path, cfg: settings.Folder):
        if not path.is_dir():
            raise errors.ConfigError(
                f"config.collect.sources: folder={path} is no folder; expected one with films."
            )
        self._path, self._cfg = path, cfg

    def questions(self) -> Sequence[str]:
        """The folder."""
        return [str(self._path)]

    def find(self, question: str) -> Iterator[Candidate]:
        """Films and sounds, in the order of their paths."""
        for path in sorted(self._path.rglob("*")):
            if path.suffix.lower() in ENDINGS and path.is_file() and path.name[0] != ".":
                yield self._candidate(path)

    def fetch(self, one: Candidate, stem: Path, allowed: Allowed) -> Fetched:
        """Links the file, or copies it where that cannot be."""
        allowed(one)
        source = Path(one.url)
        path = stem.with_name(stem.name + source.suffix.lower())
        partial = stem.with_name(f"{stem.name}.partial")
        if not source.is_file():
            raise Refused(source, "is no file any more")
        try:
            partial.unlink(missing_ok=True)
            try:
                os.link(source, partial)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, partial)
            os.replace(partial, path)
        except OSError as error:
            raise errors.DataError(
                path, f"cannot be written ({error.strerror}); {FULL_DISK}"
            ) from error
        return Fetched(path, one)

    def kept(self, one: Candidate) -> None:
        """Nothing is left to do."""

    def _candidate(self, path: Path) -> Candidate:
        told = beside(path)
        tags = told.get("tags") or ()
        licence = told.get("licence") or told.get("license") or self._cfg.licence
        origin = told.get("extractor") or told.get("source") or self._cfg.source
        shown = path.relative_to(self._path).as_posix()
        known = {"file": shown, "url": told.get("webpage_url") or told.get("url") or ""}
        return Candidate(
            candidates.key(path.stem, candidates.key(shown, "").rpartition("-")[2]),
            self.kind,
            str(path.absolute()),
            title=str(told.get("title") or candidates.plain_name(path.name)),
            tags=tuple(map(str, tags)) if isinstance(tags, list) else (),
            licence=licences.named(str(licence)),
            source=str(origin or self._path.absolute().name),
            known={name: value for name, value in known.items() if value},
        )


def beside(path: Path) -> Mapping[str, Any]:
    """What stands beside a file of it.

    Raises:
      DataError: it cannot be read.
    """
    for ending in (".info.json", ".json"):
        noted = path.with_name(path.stem + ending)
        if noted.is_file():
            told = json_files.load(noted, "a JSON object with the title of the file beside it")
            if not isinstance(told, dict):
                raise errors.DataError(noted, "is no object; expected title, licence, …")
            return told
    noted = path.with_suffix(".txt")
    if noted.is_file():
        try:
            return {"title": noted.read_text(encoding="utf-8-sig").strip()}
        except (OSError, UnicodeDecodeError) as error:
            raise errors.DataError(noted, "is no UTF-8 text; expected a title") from error
    return {}

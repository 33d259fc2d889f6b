"""A table of files on the web: a row each, with the columns url,title,licence,source,id,tags."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lb_jax.builder.collecting import candidates, licences
from lb_jax.builder.collecting.candidates import Allowed, Candidate, Fetched
from lb_jax.builder.downloads import Client
from lb_jax.builder.hosts import host_of
from lb_jax.core import errors
from lb_jax.corpora import tables

COLUMNS = ("url", "title", "licence", "license", "source", "id", "tags")
DIGITS = 20  # of a key without an id


class Urls:
    """A table; of its columns `url` alone is needed.

    Args:
      path: CSV, JSONL or Parquet.
      client: fetches.

    Raises:
      ConfigError: it is no table.
    """

    kind = "urls"
    is_searched = False

    def __init__(self, path: Path, client: Client):
        if path.suffix.lower() not in tables.FORMATS:
            raise errors.ConfigError(
                f"config.collect.sources: urls={path} is no table; expected one of "
                f"{', '.join(tables.FORMATS)}."
            )
        self._path, self._client = path, client

    def questions(self) -> Sequence[str]:
        """The table."""
        return [str(self._path)]

    def find(self, question: str) -> Iterator[Candidate]:
        """Its rows.

        Raises:
          DataError: it has no column `url`, a row has none, or a key comes twice.
        """
        found = tables.FORMATS[self._path.suffix.lower()].read(self._path, COLUMNS)
        if "url" not in found.columns:
            raise errors.DataError(
                self._path,
                f"has no column 'url'; it has {', '.join(found.names)}."
                f"{errors.nearest('url', found.names)}",
            )
        columns = {name: column.to_pylist() for name, column in found.columns.items()}
        seen: dict[str, str] = {}
        for row in range(found.rows):
            told = {name: column[row] or "" for name, column in columns.items()}
            one = self._candidate(told, row)
            if one.key in seen and seen[one.key] != one.url:
                raise errors.DataError(
                    f"{self._path}: {one.key}", "is the id of two rows; keep one of them"
                )
            if one.key not in seen:
                yield one
            seen[one.key] = one.url

    def fetch(self, one: Candidate, stem: Path, allowed: Allowed) -> Fetched:
        """Fetches the file."""
        allowed(one)
        return Fetched(self._client.file(one.url, stem), one)

    def kept(self, one: Candidate) -> None:
        """Nothing is left to do."""

    def _candidate(self, told: dict, row: int) -> Candidate:
        url = str(told["url"]).strip()
        if not url:
            raise errors.DataError(f"{self._path}: row {row + 1}", "has no url; give it one")
        tags = told.get("tags") or ()
        return Candidate(
            candidates.key(str(told["id"]))
            if told.get("id")
            else hashlib.sha256(url.encode()).hexdigest()[:DIGITS],
            self.kind,
            url,
            title=str(told.get("title", "")),
            tags=tuple(tags.split() if isinstance(tags, str) else map(str, tags)),
            licence=licences.named(str(told.get("licence") or told.get("license") or "")),
            source=str(told.get("source") or host_of(url)),
            known={"url": url},
        )

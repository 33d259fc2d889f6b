"""What is wrong with a store: with its rows, the files they are of, its tables and its index."""

import collections
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from lb_jax.core.words import counted
from lb_jax.search import rows, stamps
from lb_jax.search.database import BUILDING, CURRENT, PREVIOUS, Database
from lb_jax.search.maker import PREFIX
from lb_jax.search.stamps import FileStamp
from lb_jax.search.vectors import VectorTable


@dataclasses.dataclass(frozen=True)
class Problem:
    """What `check` found.

    Attributes:
      what: in words, with what to do.
      path: the file it is about; None for the store as a whole.
      is_serious: whether answers of the store are wrong or incomplete by it.
    """

    what: str
    path: str | None = None
    is_serious: bool = True


def check(base: Database, vectors: VectorTable) -> list[Problem]:
    """Reads every row and looks at every file; what is wrong, serious things first.

    A file counts as changed when its bytes are others; a newer date alone is no change.

    Args:
      base: the database of the store.
      vectors: the table whose rows are looked at.

    Raises:
      DataError: when the store cannot be used.
    """
    found = [
        *_rows(vectors),
        *_files(vectors),
        *_tables(base, vectors.uri),
        *_index(vectors),
    ]
    return sorted(found, key=lambda one: (not one.is_serious, one.path or "", one.what))


def _rows(vectors: VectorTable) -> Iterator[Problem]:
    maker = vectors.maker
    bad, repeated, others = (collections.Counter() for _ in range(3))
    seen: set[tuple[Any, ...]] = set()
    for batch in vectors.batches():
        fits = rows.is_unit(rows.matrix(batch["vector"], maker.width))
        told = [
            batch[name].to_pylist()
            for name in ("path", "modality", "start_s", "model", "preprocessing")
        ]
        for fit, path, modality, start, digest, made in zip(fits, *told, strict=True):
            bad[path] += not fit
            others[digest, made.partition(stamps.UNIT)[0]] += 1
            repeated[path] += (path, modality, start) in seen
            seen.add((path, modality, start))
    del others[maker.digest, maker.preprocessing]
    anew = f"build a new store: `lb-jax index build FOLDER -o NEW {maker.options}`"
    for path, count in (+bad).items():
        yield Problem(f"{counted(count, 'vector')} not finite or not of length 1; {anew}", path)
    for path, count in (+repeated).items():
        twice = f"{counted(count, 'window')} there more than once"
        yield Problem(f"{twice}; {_build(vectors)} mends it", path)
    for (digest, _), count in others.items():
        yield Problem(
            f"{counted(count, 'row')} of model {digest[:12]}, the table's is {maker}; these do "
            f"not compare; {anew}"
        )


def _build(vectors: VectorTable, option: str = "") -> str:
    """The command that brings the store up to date."""
    return f"`lb-jax index build FOLDER -o {vectors.uri} {vectors.maker.options}{option}`"


def _files(vectors: VectorTable) -> Iterator[Problem]:
    now: dict[str, FileStamp] = {}
    for (path, modality), known in vectors.files().items():
        if path not in now:
            try:
                status = os.stat(path)
            except OSError as error:
                mend = f"{_build(vectors, ' --prune')} removes it"
                yield Problem(f"{modality} file is gone ({error.strerror}); {mend}", path)
                continue
            told = known.size, known.mtime_ns
            is_same = told == (status.st_size, status.st_mtime_ns)
            now[path] = known if is_same else stamps.stamp(path)
        if now[path].sha256 != known.sha256:
            mend = f"{_build(vectors)} embeds it again"
            yield Problem(f"{modality} file has changed since; {mend}", path)


def _tables(base: Database, uri: str) -> Iterator[Problem]:
    tables = base.tables()
    for table in tables:
        if table.state != CURRENT:
            what = {
                PREVIOUS: "is kept from before the upgrade; "
                f"`lb-jax index upgrade {uri} --drop-previous` drops it",
                BUILDING: "is half built; "
                f"`lb-jax index upgrade {uri} {table.maker.options}` goes on with it",
            }[table.state]
            yield Problem(f"a table of {table.maker} {what}", is_serious=False)
    known = {table.name for table in tables}
    for name in base.names():
        if name.startswith(PREFIX) and name not in known:
            yield Problem(f"the table {name} belongs to no model", is_serious=False)


def _index(vectors: VectorTable) -> Iterator[Problem]:
    told, count = vectors.index(), len(vectors)
    if count - told["rows"] > vectors.exact_rows:
        yield Problem(
            f"{count - told['rows']} of {count} rows are not in the index, searches are slow; "
            f"{_build(vectors)} puts them in",
            is_serious=False,
        )

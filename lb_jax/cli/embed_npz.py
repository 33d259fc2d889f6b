"""`lb-jax embed --modality=M FILES… -o out.npz`: vectors in a file, one for each item."""

import argparse
import hashlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from lb_jax.cli import file_arguments
from lb_jax.cli.arguments import make_folder
from lb_jax.core import errors, logging, names, shipped
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.core.words import counted


def run(arguments: argparse.Namespace) -> None:
    """Embeds files, folders of files, or texts into one `.npz`; skips what it already holds.

    Raises:
      DataError: for a wrong text, for too many files that cannot be used, and where none can.
    """
    out, modality = Path(arguments.out), arguments.modality
    left_out: dict[str, list[Path]] = {}
    items = arguments.items
    if modality != TEXT:
        items = list(files(items, modality, left_out))

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import opening

    source = shipped.instead_of(arguments.model, "embed")
    model = opening.load_encoder(source, **arguments.loading)
    if modality == TEXT:
        model.reader.tokenize(items)  # an error names the text by its place among the arguments
    make_folder(out.parent, "--out")
    done = read(out, model.digest, modality)
    hashes = {item: content_hash(item, modality) for item in items}
    # an item counts as done where the same name still has the same content
    new = {item: one for item, one in hashes.items() if item not in done or done[item][0] != one}
    unusable = None
    if modality != TEXT:
        unusable = Unusable(arguments, model.preprocessing, new, is_continued=bool(done))
    waiting = [item for item in new if unusable is None or not unusable.is_listed(item)]
    with logging.Progress(
        f"embed {modality}", len(hashes), done=len(hashes) - len(waiting)
    ) as progress:
        size = model.at_once(modality)
        for i in range(0, len(waiting), size):
            chunk = waiting[i : i + size]
            if unusable is None:
                good, vectors = chunk, model.embed(modality, chunk)
            else:
                good, arrays = unusable.sorted_out(chunk, model.preprocess)
                vectors = model.encode(modality, np.stack(arrays)) if arrays else []
            for item, vector in zip(good, vectors, strict=True):
                done[item] = hashes[item], vector
            if done:
                write(out, done, model.digest, modality)
            elif unusable is not None and i + len(chunk) == len(waiting):
                unusable.refuse(len(hashes))
            progress.advance(len(chunk))
    if unusable is not None and not done:
        unusable.refuse(len(hashes))
    width, bad = model.width, 0 if unusable is None else unusable.count
    quarantined = f", {bad} in quarantine" if bad else ""
    if unusable is not None and unusable.faults:
        quarantined += f", {unusable.faults} of them by faults of lb_jax, which need a report"
    print(f"{out}: {counted(len(done), 'embedding')} of {width} dimensions{quarantined}")
    file_arguments.tell_left_out(left_out, each=arguments.list_left_out)
    if unusable is not None and bad:
        print(f"  cannot be used: {bad}, see {unusable.path}")


class Unusable:
    """Files that cannot be used, in a quarantine list as a store has it.

    Args:
      arguments: of the command.
      preprocessing: `Model.preprocessing`.
      hashes: of the files of this run; those listed before and unchanged are not tried again.
      is_continued: whether a run before could use files.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        preprocessing: str,
        hashes: Mapping[str, str],
        *,
        is_continued: bool,
    ):
        from lb_jax.corpora.media_files import Source
        from lb_jax.media import faults
        from lb_jax.search import bad_files, bulk

        self.path = arguments.quarantine or bulk.quarantine_of(arguments.out)
        make_folder(self.path.absolute().parent, "--quarantine")
        self._modality, self._made = arguments.modality, preprocessing
        self._listed = bad_files.Listed.read(
            self.path,
            [Source(item, (self._modality,)) for item in hashes],
            arguments.max_bad_rate,
            preprocessing,
            retry=arguments.retry,
        )
        self._first: errors.DataError | None = None
        self._hashes, self._failed = hashes, set[str]()  # the latter: contents of faults
        coming = [self._modality for item in hashes if not self.is_listed(item)]
        earlier = [self._modality] if is_continued else []
        self._judge = faults.Judge(coming, earlier, self.path)

    @property
    def faults(self) -> int:
        """Faults of this package, among those of this run."""
        return self._judge.count

    @property
    def count(self) -> int:
        """How many: of this run, and of runs before."""
        return self._listed.quarantine.bad + len(self._listed.reasons)

    def is_listed(self, item: str) -> bool:
        """Whether a run before could not use it, and it is as it was."""
        return (item, self._modality) in self._listed.reasons

    def sorted_out(
        self, items: Sequence[str], read: Callable[[str, list[str]], np.ndarray]
    ) -> tuple[list[str], list[np.ndarray]]:
        """The files that can be used and their arrays; lists the others.

        Args:
          items: files.
          read: `Model.preprocess`.

        Raises:
          DataError: when there are too many of those.
          InternalError: for faults of this package at the first files.
        """
        from lb_jax.media import faults
        from lb_jax.search import bad_files, stamps

        good, arrays, bad = [], [], []
        outcomes: list[tuple[str, faults.Fault | None]] = []
        for item in items:
            try:
                (array,) = read(self._modality, [item])
            except errors.DataError as error:
                self._first, fault, reason = self._first or error, None, error.reason
            except errors.LbJaxError:  # of the model or the settings, not of a file
                raise
            except Exception as error:  # nobody foresaw it: not to be taken for a damaged file
                fault = faults.Fault.of(self._modality, error)
                reason = fault.reason
            else:
                good.append(item)
                arrays.append(array)
                outcomes.append((item, None))
                continue
            now = stamps.now(item)
            bad.append(bad_files.BadFile.of(self._modality, item, reason, now, self._made, fault))
            outcomes.append((item, None if self._hashes[item] in self._failed else fault))
            self._failed |= {self._hashes[item]} if fault is not None else set()
        self._listed.quarantine.record(len(good), bad)
        used = set(good)
        for item, fault in outcomes:
            self._judge.passed(self._modality, names.shown(item), fault, is_used=item in used)
        return good, arrays

    def refuse(self, among: int) -> NoReturn:
        """Tells that no file can be used.

        Raises:
          DataError: that of the file where there is one alone.
        """
        if among == 1 and self._first is not None:
            raise self._first
        first = "" if self._first is None else f" The first: {self._first}"
        raise errors.DataError(
            self.path,
            f"none of {counted(among, 'file')} can be used, they are listed here; mend them, or "
            f"give --retry where they are mended.{first}",
        )


def files(
    paths: Sequence[str], modality: str, left_out: dict[str, list[Path]] | None = None
) -> Iterator[str]:
    """The named files, and of named folders every file with one of the modality's endings, sorted.

    Args:
      paths: files and folders.
      modality: what they are.
      left_out: takes why other files of the folders are left out -> which.

    Raises:
      DataError: for what is not there, and for a folder that holds none.
    """
    from lb_jax.corpora import files as files_lib
    from lb_jax.corpora import left_out as left_out_lib
    from lb_jax.corpora import tables

    suffixes = MODALITIES[modality].suffixes
    for path in paths:
        if not Path(path).is_dir():
            if Path(path).suffix.lower() in set(tables.FORMATS) - set(suffixes):
                raise errors.DataError(
                    path,
                    "is a manifest, which an .npz does not take; give a store (-o FOLDER), or the "
                    "files themselves",
                )
            if not Path(path).exists():
                raise errors.DataError(path, "does not exist; give a file or a folder")
            yield path
            continue
        every = sorted(Path(path, name) for name in files_lib.walk(Path(path)))
        found = [str(p) for p in every if p.suffix.lower() in suffixes]
        others: dict[str, list[Path]] = {}
        for one in every:
            if one.suffix.lower() not in suffixes:
                others.setdefault(_why(one, modality), []).append(one)
        if not found:
            why = ", ".join(left_out_lib.lines(others))
            raise errors.DataError(
                path,
                f"no {modality} files in this folder ({why or 'it is empty'}); expected names "
                f"ending in {', '.join(suffixes)}.",
            )
        if left_out is not None:
            for reason, of_it in others.items():
                left_out.setdefault(reason, []).extend(of_it)
        yield from found


def _why(path: Path, modality: str) -> str:
    from lb_jax.corpora import left_out

    ending = path.suffix.lower()
    if any(ending in one.suffixes for one in MODALITIES.values()):
        return f"{ending}: not {modality}"
    return left_out.why_unknown(path)


def content_hash(item: str, modality: str) -> str:
    """SHA-256 of a file's bytes, or of a text; empty for no file, which embedding will say."""
    if modality == TEXT:
        return hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest()
    if not Path(item).is_file():
        return ""
    with open(item, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path, model: str, modality: str) -> dict[str, tuple[str, np.ndarray]]:
    """What an earlier call wrote: item -> (hash of its content, vector); none without the file.

    Raises:
      DataError: when it holds vectors of another model or modality.
    """
    if not path.exists():
        return {}
    try:
        with zipfile.ZipFile(path):  # np.load takes other files for arrays or pickles
            pass
        with np.load(path) as stored:
            found = str(stored["model"]), str(stored["modality"])
            items, hashes = stored["items"].tolist(), stored["hashes"].tolist()
            embeddings = stored["embeddings"]
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise errors.DataError(
            path, f"not an embedding file ({error}); give another --out."
        ) from error
    if found != (model, modality):
        raise errors.DataError(
            path,
            f"holds {found[1]} vectors of model {found[0][:12]}, not {modality} of "
            f"{model[:12]}; give another --out.",
        )
    return dict(zip(items, zip(hashes, embeddings, strict=True), strict=True))


def write(path: Path, done: dict[str, tuple[str, np.ndarray]], model: str, modality: str) -> None:
    """Writes everything embedded so far; the file is either the old or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                items=np.array(list(done)),
                hashes=np.array([one for one, _ in done.values()]),
                embeddings=np.stack([vector for _, vector in done.values()]),
                model=model,
                modality=modality,
            )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise errors.DataError(
            path,
            f"cannot be written ({error.strerror or error}); what was there is as it was. Make "
            "room and run the same command again.",
        ) from error

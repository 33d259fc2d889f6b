"""`lb-jax embed --modality=M FILES… -o out.npz`: vectors in a file, one for each item."""

import argparse
import collections
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lb_jax.cli.arguments import make_folder
from lb_jax.core import errors, logging, shipped
from lb_jax.core.modalities import MODALITIES, TEXT


def run(arguments: argparse.Namespace) -> None:
    """Embeds files, folders of files, or texts into one `.npz`; skips what it already holds."""
    out = Path(arguments.out)
    left_out: collections.Counter[str] = collections.Counter()
    if arguments.modality == TEXT:
        from lb_jax.text import tokenizer

        items = arguments.items
        tokenizer.tokenize(items)  # an error names the text by its place among the arguments
    else:
        items = list(files(arguments.items, arguments.modality, left_out))

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import api

    model = api.load(shipped.instead_of(arguments.model, "embed"), **arguments.loading)
    make_folder(out.parent, "--out")
    done = read(out, model.digest, arguments.modality)
    hashes = {item: content_hash(item, arguments.modality) for item in items}
    # an item counts as done where the same name still has the same content
    waiting = [item for item, one in hashes.items() if item not in done or done[item][0] != one]
    with logging.Progress(
        f"embed {arguments.modality}", len(hashes), done=len(hashes) - len(waiting)
    ) as progress:
        for i in range(0, len(waiting), model.batch_size):
            chunk = waiting[i : i + model.batch_size]
            vectors = model.embed(arguments.modality, chunk)
            for item, vector in zip(chunk, vectors, strict=True):
                done[item] = hashes[item], vector
            write(out, done, model.digest, arguments.modality)
            progress.advance(len(chunk))
    print(f"{out}: {len(done)} embeddings of {model.config.text.embed_dim} dimensions")
    for why, count in left_out.items():
        print(f"  left out: {count} files: {why}")


def files(
    paths: Sequence[str], modality: str, left_out: collections.Counter | None = None
) -> Iterator[str]:
    """The named files, and of named folders every file with one of the modality's endings, sorted.

    Args:
      paths: files and folders.
      modality: what they are.
      left_out: takes why other files of the folders are left out -> how many.

    Raises:
      DataError: for a folder that holds none.
    """
    from lb_jax.corpora import files as files_lib
    from lb_jax.corpora import tables

    suffixes = MODALITIES[modality].suffixes
    for path in paths:
        if not Path(path).is_dir():
            if Path(path).suffix.lower() in tables.FORMATS:
                raise errors.DataError(
                    path,
                    "is a manifest, which an .npz does not take; give a store (-o FOLDER), or the "
                    "files themselves",
                )
            yield path
            continue
        every = sorted(Path(path, name) for name in files_lib.walk(Path(path)))
        found = [str(p) for p in every if p.suffix.lower() in suffixes]
        others = collections.Counter(
            _why(p, modality) for p in every if p.suffix.lower() not in suffixes
        )
        if not found:
            why = ", ".join(f"{count} files: {why}" for why, count in others.items())
            raise errors.DataError(
                path,
                f"no {modality} files in this folder ({why or 'it is empty'}); expected names "
                f"ending in {', '.join(suffixes)}.",
            )
        if left_out is not None:
            left_out.update(others)
        yield from found


def _why(path: Path, modality: str) -> str:
    from lb_jax.corpora import media_files

    ending = path.suffix.lower()
    if any(ending in one.suffixes for one in MODALITIES.values()):
        return f"{ending}: not {modality}"
    return media_files.why_unknown(path)


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

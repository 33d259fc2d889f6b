"""`lb-jax embed --model=M --modality=video FILES… -o out.npz`."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import errors, logging
from lb_jax.core.modalities import MODALITIES, TEXT


def main(argv: Sequence[str]) -> None:
    """Embeds files, folders of files, or texts into one `.npz`; skips what it already holds."""
    parser = Parser(
        "embed",
        "Embeddings of files, of all files of a folder, or of texts, written to an "
        ".npz with `items` and `embeddings`.",
    )
    parser.add_argument(
        "items", nargs="+", help="media files or folders; for --modality=text the texts themselves"
    )
    parser.add_argument(
        "--model", required=True, help="checkpoint, or work directory of a finished run"
    )
    parser.add_argument("--modality", required=True, choices=(*MODALITIES, TEXT))
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        type=Path,
        help=".npz to write; an existing one of the same model is continued",
    )
    arguments = parser.parse_args(argv)
    if arguments.out.suffix != ".npz":
        raise errors.ConfigError(f"--out is {arguments.out}; its name must end in .npz.")
    if arguments.modality == TEXT:
        from lb_jax.data import tokenizer

        items = arguments.items
        tokenizer.tokenize(items)  # an error names the text by its place among the arguments
    else:
        items = list(files(arguments.items, arguments.modality))

    # jax takes a second to import; wrong arguments are told before
    from lb_jax.inference import api

    model = api.load(arguments.model)
    done = read(arguments.out, model.digest, arguments.modality)
    make_folder(arguments.out.parent, "--out")
    waiting = [item for item in dict.fromkeys(items) if item not in done]
    with logging.Progress(
        f"embed {arguments.modality}", len(items), done=len(items) - len(waiting)
    ) as progress:
        for i in range(0, len(waiting), api.BATCH_SIZE):
            chunk = waiting[i : i + api.BATCH_SIZE]
            done.update(zip(chunk, model.embed(arguments.modality, chunk), strict=True))
            write(arguments.out, done, model.digest, arguments.modality)
            progress.advance(len(chunk))
    print(f"{arguments.out}: {len(done)} embeddings of {model.config.text.embed_dim} dimensions")


def files(paths: Sequence[str], modality: str) -> Iterator[str]:
    """The named files, and of named folders every file with one of the modality's endings, sorted.

    Raises:
      DataError: for a folder that holds none.
    """
    suffixes = MODALITIES[modality].suffixes
    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        found = sorted(str(p) for p in Path(path).rglob("*") if p.suffix.lower() in suffixes)
        if not found:
            raise errors.DataError(
                path,
                f"no {modality} files in this folder; expected names ending in "
                f"{', '.join(suffixes)}.",
            )
        yield from found


def read(path: Path, model: str, modality: str) -> dict[str, np.ndarray]:
    """What an earlier call wrote, none if the file is not there.

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
            items, embeddings = stored["items"].tolist(), stored["embeddings"]
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
    return dict(zip(items, embeddings, strict=True))


def write(path: Path, done: dict[str, np.ndarray], model: str, modality: str) -> None:
    """Writes everything embedded so far; the file is either the old or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            items=np.array(list(done)),
            embeddings=np.stack(list(done.values())),
            model=model,
            modality=modality,
        )
    partial.replace(path)

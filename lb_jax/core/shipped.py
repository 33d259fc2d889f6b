"""The demo's model, which comes with the package: default of every command that takes a model.

`lb_jax/demo/model.zip` is the demo's checkpoint, bound for 1,200 steps in place of 400; the words
that its corpus does not have are zero. `make demo-model` writes it anew. It is unpacked once into
the user's cache. Its card, `README.md` in it, says what it knows: the drawn scenes of the demo, and
no photograph, film or recording. So commands that take it for want of another say so.
"""

import functools
import hashlib
import importlib.resources
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lb_jax.core import errors, folders

DEMO = "demo"
ARCHIVE = ("demo", "model.zip")  # inside the package
REAL = "LanguageBind/LanguageBind_Video_FT"  # what to take in its place
KNOWS = "knows only the scenes that `lb-jax demo corpus` draws"
TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive


def instead_of(model: str | None, command: str, remedy: str = f"--model {REAL}") -> str:
    """The model that was given, or the demo's, with a line on stderr that says so.

    Args:
      model: as it was given; None for none.
      command: that says so, such as "index build".
      remedy: what takes a real model.
    """
    if model is None:
        print(
            f"lb-jax {command}: with the demo's model, which {KNOWS}; for your own media: {remedy}",
            file=sys.stderr,
            flush=True,
        )
    return DEMO if model is None else model


def advice(model: str) -> str:
    """What to do where the calibration of a model does not hold, in words."""
    if model == DEMO:
        return f"the demo's model {KNOWS}; take a real one, --model {REAL}"
    return f"`lb-jax calibrate --model {model} --data CORPUS` fits one to a corpus like yours"


@functools.cache
def demo_model() -> Path:
    """The folder of the demo's checkpoint.

    Raises:
      ConfigError: for a cache that cannot be written to.
    """
    archive = importlib.resources.files("lb_jax").joinpath(*ARCHIVE)
    content = archive.read_bytes()
    folder = folders.user_cache(DEMO) / hashlib.sha256(content).hexdigest()[:16]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(dir=folder.parent)
        with importlib.resources.as_file(archive) as path, zipfile.ZipFile(path) as opened:
            opened.extractall(partial)
        os.chmod(partial, 0o755)
        try:
            os.rename(partial, folder)  # whole or not there
        except OSError:
            shutil.rmtree(partial)
            if not folder.is_dir():  # else another process was first
                raise
    except OSError as error:
        raise errors.ConfigError(
            f"{folder.parent}: the demo's model cannot be unpacked there "
            f"({error.strerror or error}); set XDG_CACHE_HOME to a folder that can be written to."
        ) from error
    return folder


def pack(folder: Path, archive: Path) -> None:
    """Writes the files of a folder into a zip archive; the same files give the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
        for path in sorted(folder.iterdir()):
            about = zipfile.ZipInfo(path.name, TIME)
            about.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(about, path.read_bytes(), compresslevel=9)


def main(argv: Sequence[str]) -> None:
    """`python -m lb_jax.core.shipped FOLDER`: packs a checkpoint as the demo's model."""
    pack(Path(argv[0]), Path(__file__).parents[1].joinpath(*ARCHIVE))


if __name__ == "__main__":
    main(sys.argv[1:])

"""The demo's model, which comes with the package: default of every command that takes a model.

`lb_jax/demo/model.zip` is the checkpoint that `make demo` trained, in which the words that its
corpus does not have are zero: `make demo-model` writes it anew. It is unpacked once into the user's
cache.
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
TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive


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

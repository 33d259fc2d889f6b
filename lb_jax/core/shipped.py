"""The models that come with the package: the default of every command that takes one.

Each is a zip archive in `lb_jax/demo` and a row of `MODELS`; whoever gives its name as a model gets
it. `make demo-model` writes the demo's anew, its checkpoint bound for 1,200 steps in place of 400;
the words that its corpus does not have are zero. An archive is unpacked once into the user's cache.
Its card, `README.md` in it, says what it knows: the drawn scenes of the demo, and no photograph,
film or recording. So commands that take it for want of another say so.
"""

import dataclasses
import functools
import hashlib
import importlib.resources
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path

from lb_jax.core import errors, folders

DEMO, CAPTIONER = "demo", "captioner"
REAL = "LanguageBind/LanguageBind_Video_FT"  # what to take in place of the demo's model
TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same archive


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A model of the package.

    Attributes:
      archive: file name in `lb_jax/demo`.
      title: what messages call it.
      knows: what it does, in words that follow "which".
      remedy: an option that takes a real model.
    """

    archive: str
    title: str
    knows: str
    remedy: str


MODELS: Mapping[str, Shipped] = {
    DEMO: Shipped(
        "model.zip",
        "the demo's model",
        "knows only the scenes that `lb-jax demo corpus` draws",
        f"--model {REAL}",
    ),
    CAPTIONER: Shipped(
        "captioner.zip",
        "the demo's captioner",
        "writes only of films that `lb-jax demo corpus --kind films` draws",
        "--model FOLDER, a VALOR model",
    ),
}


def archive_of(name: str) -> Traversable:
    """The file of a row of `MODELS`, whether it is there or not."""
    return importlib.resources.files("lb_jax").joinpath("demo", MODELS[name].archive)


def is_there(name: str) -> bool:
    """Whether this version of the package has the archive of a row of `MODELS`."""
    return archive_of(name).is_file()


def instead_of(model: str | None, command: str, remedy: str | None = None, name: str = DEMO) -> str:
    """The model that was given, or one of the package, with a line on stderr that says so.

    Args:
      model: as it was given; None for none.
      command: that says so, such as "index build".
      remedy: what takes a real model; None is that of the row.
      name: of the row that is taken.

    Raises:
      ConfigError: for none given where this version of the package has none.
    """
    row = MODELS[name]
    if model is not None:
        return model
    remedy = row.remedy if remedy is None else remedy
    if not is_there(name):
        raise errors.ConfigError(
            f"{command} needs a model, and none comes with this version of the package; give "
            f"{remedy}."
        )
    print(
        f"lb-jax {command}: with {row.title}, which {row.knows}; for your own media: {remedy}",
        file=sys.stderr,
        flush=True,
    )
    return name


def advice(model: str) -> str:
    """What to do where the calibration of a model does not hold, in words."""
    if model in MODELS:
        row = MODELS[model]
        return f"{row.title} {row.knows}; take a real one, {row.remedy}"
    return f"`lb-jax calibrate --model {model} --data CORPUS` fits one to a corpus like yours"


@functools.cache
def unpacked(name: str) -> Path:
    """The folder of the checkpoint of a row of `MODELS`.

    Raises:
      ConfigError: for one that this version of the package has not, and a cache that cannot be
        written to.
    """
    archive, row = archive_of(name), MODELS[name]
    if not archive.is_file():
        raise errors.ConfigError(
            f"{name}: no {row.archive} comes with this version of the package; give {row.remedy}."
        )
    content = archive.read_bytes()
    folder = folders.user_cache(name) / hashlib.sha256(content).hexdigest()[:16]
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
            f"{folder.parent}: {row.title} cannot be unpacked there "
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
    """`python -m lb_jax.core.shipped FOLDER [NAME]`: packs a checkpoint as a row of `MODELS`.

    Without a name it is the demo's model.
    """
    folder, name = argv if len(argv) == 2 else (*argv, DEMO)
    pack(Path(folder), Path(__file__).parents[1] / "demo" / MODELS[name].archive)


if __name__ == "__main__":
    main(sys.argv[1:])

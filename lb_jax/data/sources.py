"""Every kind of corpus that can be trained on, checked or packed, known by name or content."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lb_jax.core import errors
from lb_jax.data import tables, webdataset
from lb_jax.data.image_folder import ImageFolder
from lb_jax.data.manifest import Manifest
from lb_jax.data.rows import Source
from lb_jax.data.vidal import Vidal
from lb_jax.data.webdataset import WebDataset


def open_source(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    modality: str | None = None,
) -> Source:
    """Opens a corpus.

    Args:
      path: what a row of `KINDS` takes.
      root: folder that the media paths in it are relative to; None takes the corpus' own folder.
      columns: for manifests: key of `manifest.KEYS` -> name of the column that holds it.
      modality: what the files are, where the corpus does not say.

    Raises:
      DataError: it does not exist or cannot be read.
      ConfigError: nothing of a known kind.
    """
    path = Path(path)
    if not path.exists() and not webdataset.is_pattern(path):
        raise _missing(path)
    for matches, opened in KINDS.values():
        if matches(path):
            return opened(path, root, columns, modality)
    raise errors.ConfigError(f"{path}: no corpus of a known kind; expected {', '.join(KINDS)}.")


def _missing(path: Path) -> errors.DataError:
    """Says how far the path leads, and to what instead."""
    there = next(one for one in path.absolute().parents if one.is_dir())
    name = path.absolute().relative_to(there).parts[0]
    inside = sorted(one.name for one in there.iterdir())
    return errors.DataError(
        path,
        f"does not exist; no {name!r} among {len(inside)} entries of {there}."
        f"{errors.nearest(name, inside)} Mend the path",
    )


Opener = Callable[..., Source]

# what it is called in messages -> (whether a path is one, how it is opened); the first match counts
KINDS: dict[str, tuple[Callable[[Path], bool], Opener]] = {
    "a VIDAL annotation (.json)": (
        lambda path: path.suffix == ".json",
        lambda path, root, columns, modality: Vidal(path, root),
    ),
    "a manifest (" + ", ".join(tables.FORMATS) + ")": (
        lambda path: path.suffix.lower() in tables.FORMATS,
        Manifest,
    ),
    "WebDataset shards (.tar, a folder of them, or x-{000..003}.tar)": (
        lambda path: path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar"))),
        lambda path, root, columns, modality: WebDataset(path),
    ),
    # any folder, so it comes last
    "a folder of class folders": (
        lambda path: path.is_dir(),
        lambda path, root, columns, modality: ImageFolder(path, modality),
    ),
}

"""Every kind of corpus that can be trained on, checked or packed, known by name or content."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lb_jax.core import errors
from lb_jax.data import records, tfds_source
from lb_jax.data.rows import Source
from lb_jax.data.vidal import Vidal


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
      columns: for manifests: modality, caption kind or "id" -> name of the column that holds it.
      modality: what the files are, where the corpus does not say.

    Raises:
      DataError: it cannot be read.
      ConfigError: nothing of a known kind.
    """
    path = Path(path)
    for matches, opened in KINDS.values():
        if matches(path):
            return opened(path, root, columns, modality)
    raise errors.ConfigError(f"{path}: no corpus of a known kind; expected {', '.join(KINDS)}.")


Opener = Callable[..., Source]

# what it is called in messages -> (whether a path is one, how it is opened); the first match counts
KINDS: dict[str, tuple[Callable[[Path], bool], Opener]] = {
    "a folder packed by `lb-jax data convert`": (
        records.is_packed,
        lambda path, root, columns, modality: records.Records(path),
    ),
    "a TFDS dataset (DIR:SPLIT or tfds:NAME:SPLIT)": (
        tfds_source.is_dataset,
        lambda path, root, columns, modality: tfds_source.Tfds(path, root, columns),
    ),
    "a VIDAL annotation (.json)": (
        lambda path: path.suffix == ".json",
        lambda path, root, columns, modality: Vidal(path, root),
    ),
}

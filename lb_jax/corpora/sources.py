"""Opens a corpus of any kind, known by name or content, to train on, to check or to pack.

A corpus has rows with captions; loose files to embed are found by `media_files`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.corpora import films, records, tables, tfds_source, valor_files, webdataset
from lb_jax.corpora.image_folder import ImageFolder
from lb_jax.corpora.manifest import Manifest
from lb_jax.corpora.narrations import Narrated
from lb_jax.corpora.rows import Source
from lb_jax.corpora.valor import Valor
from lb_jax.corpora.vidal import Vidal
from lb_jax.corpora.webdataset import WebDataset


def open_source(
    path: str | Path,
    *,
    root: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    modality: str | None = None,
    narrations: str | Path | None = None,
    expected: str | None = None,
) -> Source:
    """Opens a corpus.

    Args:
      path: what a row of `KINDS` takes.
      root: folder that the media paths in it are relative to; None takes the corpus' own folder.
      columns: modality, caption kind or "id" -> name of the column or feature that holds it.
      modality: what the files are, where the corpus does not say.
      narrations: what is said in its films: a JSON of recognised speech or a folder of subtitles,
        see `narrations.Narrated`; None takes what the corpus itself names.
      expected: what whoever asks has a use for: a folder that does not say what it holds is held
        for one of it, where `modality` is None.

    Raises:
      DataError: it does not exist or cannot be read.
      ConfigError: nothing of a known kind, a setting that its kind has no use for, a modality that
        it does not carry.
    """
    path = Path(path)
    is_name = webdataset.is_pattern(path) or tfds_source.is_dataset(path)
    if not path.exists() and not is_name:
        raise _missing(path)
    kind = next((name for name, (matches, *_) in KINDS.items() if matches(path)), None)
    if kind is None:
        raise errors.ConfigError(f"{path}: no corpus of a known kind; expected {', '.join(KINDS)}.")
    _, settings, opened = KINDS[kind]
    given = {"root": root, "columns": columns or None, "modality": modality}
    given = {name: value for name, value in given.items() if value is not None}
    useless = [name for name in given if name not in (*settings, "modality")]
    if useless:
        raise errors.ConfigError(
            f"{path} is {kind}, which has no use for {' and '.join(useless)}; leave it out."
        )
    if kind == GUESSED and expected is not None:
        given.setdefault("modality", expected)
    source = opened(path, **{name: given[name] for name in settings if name in given})
    if modality is not None and modality not in source.modalities:
        raise errors.ConfigError(
            f"{path} carries {', '.join(source.modalities)}, not {modality}."
            f"{errors.nearest(modality, source.modalities)} Ask for one of "
            "those, or give another corpus."
        )
    return source if narrations is None else Narrated(source, narrations)


def _missing(path: Path) -> errors.DataError:
    """Says how far the path leads, and to what instead."""
    there = next(one for one in path.absolute().parents if one.is_dir())
    name = path.absolute().relative_to(there).parts[0]
    inside = sorted(one.name for one in there.iterdir())
    return errors.DataError(
        path,
        f"does not exist; no {name!r} among {counted(len(inside), 'entry')} of {there}."
        f"{errors.nearest(name, inside)} Mend the path",
    )


GUESSED = "a folder of class folders"
# what it is called in messages -> (whether a path is one, settings it takes, how it is opened); the
# first match counts
KINDS: dict[str, tuple[Callable[[Path], bool], tuple[str, ...], Callable[..., Source]]] = {
    "a folder packed by `lb-jax data convert`": (records.is_packed, (), records.Records),
    "a TFDS dataset (DIR:SPLIT or tfds:NAME:SPLIT)": (
        tfds_source.is_dataset,
        ("root", "columns"),
        tfds_source.Tfds,
    ),
    "VALOR's captions or questions (.json, or a folder of ids.json and txt_mapper.json)": (
        valor_files.is_one,
        ("root", "columns"),
        Valor,
    ),
    "a VIDAL annotation (.json)": (lambda path: path.suffix == ".json", ("root",), Vidal),
    "a manifest (" + ", ".join(tables.FORMATS) + ")": (
        lambda path: path.suffix.lower() in tables.FORMATS,
        ("root", "columns", "modality"),
        Manifest,
    ),
    "WebDataset shards (.tar, a folder of them, or x-{000..003}.tar)": (
        lambda path: path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar"))),
        (),
        WebDataset,
    ),
    "a folder of films": (films.is_one, (), films.Films),
    # any folder, so it comes last
    GUESSED: (lambda path: path.is_dir(), ("modality",), ImageFolder),
}

"""TFDS datasets as sources, read by `as_data_source` without TensorFlow.

Only the features that are asked for are parsed, and media stay encoded: a feature of images is read
as bytes. Sound and clips that TFDS stores decoded cannot be read.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora import record, records
from lb_jax.corpora.rows import EveryRow, Row

NAMED = "tfds:"  # what starts the name of a dataset in a TFDS data folder
PARTS = "_parts"  # see `tfds_builder.PARTS`
_NAME = re.compile(  # NAME, /CONFIG, :VERSION (as in 1.0.0 or 1.*.*), :SPLIT
    NAMED + r"([a-zA-Z]\w*(?:/[\w+.-]+)?(?::[\d*]+(?:\.[\d*]+){2})?)(?::([^\d*].*))?"
)
_INFO = "dataset_info.json"
_AGAIN = "prepare the dataset again"
_SHOWN = 10  # datasets that an error lists


def is_dataset(path: Path) -> bool:
    """Whether a path is what `Tfds` takes."""
    return str(path).startswith(NAMED) or (_folder_and_split(path)[0] / _INFO).exists()


class Tfds(EveryRow):
    """The rows of one split of a prepared dataset in the ArrayRecord format.

    Args:
      path: "DIR" or "DIR:SPLIT" for the folder with `dataset_info.json`, or "tfds:NAME" or
        "tfds:NAME:SPLIT"; a split as TFDS writes it, such as "train" or "train[:80%]", and needed
        where there are several. Nothing is downloaded.
      root: for a name: the TFDS data folder that it lies in; None takes TFDS' own.
      columns: modality, caption kind or "id" -> feature ("a/b" for b in a); None takes the features
        that are named so. A class label becomes a caption by its name.

    Raises:
      errors.ConfigError: no such dataset, split, column or feature, a feature of a type that does
        not fit.
      errors.DataError: damaged dataset.
    """

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        columns: Mapping[str, str] | None = None,
    ):
        self.where = str(path)
        self._arguments = path, root, columns
        builder, split = _open(self.where, root)
        given = _columns(self.where, builder.info.features, columns)
        self._columns = {
            name: _column(self.where, builder.info.features, name, feature)
            for name, feature in given.items()
        }
        self.modalities = tuple(name for name in MODALITIES if name in given)
        self.text_kinds = tuple(kind for kind in record.TEXT_NAMES if kind in given)
        self._names = tuple(_names(builder.info.features))
        self._parts = _parts(builder.info.features, self._columns, self.modalities)
        self._fields = _fields([*self._columns.values(), *self._parts.values()])
        self._records = _data_source(self.where, builder, split)

    def __reduce__(self):
        return type(self), self._arguments

    def __len__(self) -> int:
        return len(self._records)

    def require(self, kinds: Iterable[str]) -> None:
        """As for every source, by the features alone: a row may still hold an empty one."""
        if lacking := records.lacking_kinds(kinds, self.text_kinds):
            raise errors.DataError(
                self.where,
                f"lacks {', '.join(lacking)}; its features are {', '.join(self._names)}. Name the "
                f"one that holds it, as {lacking[0]}=FEATURE, or train on another kind",
            )

    def __getitem__(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        where = f"{self.where}: record {index}"
        try:
            content = self._records[index]
            if not content:  # what ArrayRecord gives for a file cut off between two blocks
                raise ValueError("its file is cut off")
            fields = self._fields.deserialize_example_np(content)
        except Exception as e:  # protobuf, TFDS and ArrayRecord have no error in common
            raise errors.DataError(where, f"is damaged ({e}); {_AGAIN}") from e
        values = {name: column.read(fields, where) for name, column in self._columns.items()}
        for name, column in self._parts.items():
            values[name] = _clips(where, values[name], column.read(fields, where))
        return Row(
            values.get("id", str(index)),
            {kind: values[kind] for kind in self.text_kinds if values[kind]},
            {name: values[name] for name in self.modalities if values[name]},
        )


@dataclasses.dataclass(frozen=True)
class _Column:
    """A feature that is read.

    Attributes:
      feature: its name.
      stored: the feature as it is parsed, which decodes nothing.
      value: what was parsed -> what a row holds; empty where the row has none.
    """

    feature: str
    stored: Any
    value: Callable[[Any], Any]

    def read(self, fields: Mapping[str, Any], where: str) -> Any:
        try:
            return self.value(fields[self.feature])
        except (ValueError, LookupError) as e:
            raise errors.DataError(where, f"{self.feature}: {e}; {_AGAIN}") from e


def _folder_and_split(path: str | Path) -> tuple[Path, str | None]:
    """DIR and SPLIT of "DIR:SPLIT"; both may hold colons."""
    text = str(path)
    for end in (len(text), *(i for i, sign in enumerate(text) if i and sign == ":")):
        if (Path(text[:end]) / _INFO).exists():
            return Path(text[:end]), text[end + 1 :] or None
    return Path(path), None


def _open(where: str, root: str | Path | None) -> tuple[Any, str]:
    """The dataset's TFDS builder, made from its files alone, and the split to read."""
    import tensorflow_datasets as tfds  # a third of a second, and only these corpora need it

    named = _NAME.fullmatch(where)
    if where.startswith(NAMED) and not named:
        raise errors.ConfigError(
            f"{where!r} is no dataset; expected {NAMED}NAME, {NAMED}NAME/CONFIG or "
            f"{NAMED}NAME:VERSION, each with :SPLIT or without."
        )
    name, split = named.groups() if named else (where, None)
    try:
        if named:
            builder = tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
        else:
            folder, split = _folder_and_split(where)
            builder = tfds.builder_from_directory(folder)
    except tfds.core.DatasetNotFoundError as e:
        folder = Path(root or tfds.core.constants.DATA_DIR)
        raise errors.ConfigError(_not_prepared(where, name, folder)) from e
    except Exception as e:  # TFDS has no error of its own for the rest
        raise errors.DataError(
            where,
            f"is no dataset that opens without TensorFlow ({type(e).__name__}: {e}); expected one "
            "without Video and Audio features",
        ) from e
    splits = list(builder.info.splits)
    if not splits:
        raise errors.ConfigError(f"{where} has no splits; prepare it first.")
    if split is None and len(splits) != 1:
        raise errors.ConfigError(
            f"{where} has the splits {', '.join(splits)}; add one, as {where}:{splits[0]}."
        )
    return builder, split or splits[0]


def _not_prepared(where: str, name: str, folder: Path) -> str:
    """What is wrong with a name that no dataset of a data folder has."""
    found = sorted(
        ":".join(("/".join(path.relative_to(folder).parts[:-2]), path.parent.name))
        for pattern in ("*/*/", "*/*/*/")  # NAME/VERSION, NAME/CONFIG/VERSION
        for path in folder.glob(pattern + _INFO)
    )
    shown = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN))
    expected = f"; expected one of {shown}" if found else ", which holds none"
    return (
        f"{where}: no prepared dataset {name!r} in {folder}{expected}."
        f"{errors.nearest(name, found)} Prepare it first, or give the data folder that it lies in "
        "as the root."
    )


def _data_source(where: str, builder: Any, split: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        return builder.as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )
    except NotImplementedError as e:
        raise errors.ConfigError(
            f"{where} is stored as {builder.info.file_format.value}, which has no random access; "
            "prepare it with file_format=array_record."
        ) from e
    except ValueError as e:
        raise errors.ConfigError(
            f"{where} has no split {split!r} ({e}); it has {', '.join(builder.info.splits)}."
        ) from e


def _columns(where: str, features: Any, given: Mapping[str, str] | None) -> dict[str, str]:
    """Column -> feature name, after checking that both exist."""
    known, has = ("id", *MODALITIES, *record.TEXT_NAMES), _names(features)
    found = {name: name for name in known if name in has} if given is None else dict(given)
    for name, feature in found.items():
        if name not in known:
            raise errors.ConfigError(
                f"no column {name!r}; expected {', '.join(known)}.{errors.nearest(name, known)}"
            )
        if feature not in has:
            raise errors.ConfigError(
                f"{where} has no feature {feature!r}; it has {', '.join(has)}."
                f"{errors.nearest(feature, has)}"
            )
    if not set(found) - {"id"}:
        raise errors.ConfigError(
            f"{where} has no feature named after a modality or caption kind; it has "
            f"{', '.join(has)}. Name them as columns, such as image=FEATURE,caption=FEATURE."
        )
    return found


def _names(feature: Any, prefix: str = "") -> dict[str, tuple[Any, bool]]:
    """Name, as TFDS stores it -> (feature, whether there may be several of it)."""
    import tensorflow_datasets as tfds

    several = type(feature) is tfds.features.Sequence
    inner = feature.feature if several else feature
    if isinstance(inner, tfds.features.FeaturesDict):
        found = {}  # in an order of its own: TFDS gives another one each time it reads the file
        for name, one in sorted(inner.items()):
            for path, (leaf, many) in _names(one, f"{prefix}{name}/").items():
                # several of several is ragged, which `_TYPES` knows nothing of
                found[path] = (one if many and several else leaf), many or several
        return found
    return {prefix.removesuffix("/"): (inner, several)}


def _column(where: str, features: Any, name: str, feature: str) -> _Column:
    import tensorflow_datasets as tfds

    leaf, several = _names(features)[feature]
    for kind, is_right, stored, value in _TYPES:
        if (name in MODALITIES) == (kind == "media") and is_right(tfds.features, leaf):
            held = tfds.features.Tensor(shape=(), dtype=stored)
            return _Column(
                feature,
                tfds.features.Sequence(held) if several else held,
                functools.partial(_SHAPES[kind, several], functools.partial(value, leaf)),
            )
    expected = "encoded bytes or Image" if name in MODALITIES else "Text or ClassLabel"
    raise errors.ConfigError(
        f"{where}: {name} cannot be read from {feature!r}, which is {type(leaf).__name__}; "
        f"expected {expected}."
    )


def _fields(columns: Iterable[_Column]) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.FeaturesDict({one.feature: one.stored for one in columns})


def _parts(
    features: Any, columns: Mapping[str, _Column], modalities: Iterable[str]
) -> dict[str, _Column]:
    """Modality -> column that tells how many still pictures make each item, where there is one."""
    import tensorflow_datasets as tfds

    has = _names(features)
    return {
        name: _Column(column.feature + PARTS, tfds.features.Sequence(np.int64), tuple)
        for name, column in columns.items()
        if name in modalities and column.feature + PARTS in has
    }


def _clips(
    where: str, files: tuple[bytes, ...], parts: tuple[int, ...]
) -> tuple[bytes | tuple[bytes, ...], ...]:
    """Items of a modality: 0 takes a file as it is, n takes n still pictures as one."""
    if sum(max(1, count) for count in parts) != len(files):
        raise errors.DataError(
            where, f"has {counted(len(files), 'file')} in parts {[*map(int, parts)]}; {_AGAIN}"
        )
    rest = iter(files)
    return tuple(tuple(itertools.islice(rest, count)) if count else next(rest) for count in parts)


def _is_bytes(types: Any, leaf: Any) -> bool:
    return isinstance(leaf, types.Tensor) and leaf.shape == () and leaf.np_dtype == np.object_


def _class_name(leaf: Any, number: int) -> str:
    if number < 0:  # what TFDS writes where there is no label
        raise ValueError(f"no label ({number})")
    return leaf.int2str(number)


# (for what, whether a feature (of tfds.features) fits, dtype stored, (feature, stored) -> value)
_TYPES = (
    (
        "media",
        lambda types, leaf: isinstance(leaf, types.Image) or _is_bytes(types, leaf),
        np.bytes_,
        lambda leaf, raw: raw,
    ),
    (
        "text",
        lambda types, leaf: isinstance(leaf, types.ClassLabel),
        np.int64,
        _class_name,
    ),
    ("text", _is_bytes, np.bytes_, lambda leaf, raw: raw.decode("utf-8")),
)


def _one_text(value: Callable[[Any], str], raw: Any) -> str:
    return value(raw)


def _several_texts(value: Callable[[Any], str], raw: Iterable[Any]) -> str | tuple[str, ...]:
    found = tuple(map(value, raw))
    return found[0] if len(found) == 1 else found


def _one_file(value: Callable[[Any], bytes], raw: bytes) -> tuple[bytes, ...]:
    return (value(raw),) if raw else ()


def _several_files(value: Callable[[Any], bytes], raw: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(map(value, raw))


# (for what, whether there may be several) -> (value of one, stored) -> what a row holds
_SHAPES = {
    ("text", False): _one_text,
    ("text", True): _several_texts,
    ("media", False): _one_file,
    ("media", True): _several_files,
}

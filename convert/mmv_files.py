"""MMV as it was released, in and out, and as a checkpoint of this package (MMV spec 7).

A released file is a pickle of `params` and `state`, which says nothing of the model's shape; that
follows from the arrays. What it cannot tell is whether a ReLU stands before the coarse head of the
factorised graph: it does, as in the released models. Beside the weights of either kind may lie
`words.txt`, the words that a model with texts knows; the released ones came without theirs.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import (
    fields,
    haiku_reader,
    lazy,
    mmv,
    replacing,
    rules,
    tensors,
    weights,
    write,
)
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib
from lb_jax.models.graphs import GRAPHS, GraphConfig, HeadConfig
from lb_jax.models.mmv import Mmv, MmvConfig, mmv_config
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.s3d import STARTS, S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from lb_jax.text import words

KIND = "mmv"  # field "kind" of our checkpoint's config
RELEASED = "mmv.pkl"
PREPROCESS = "preprocess.json"  # beside a released file, of a model that states it
_STATED = "preprocess"  # field of it and of our config
PARTS = ("params", "state")

Shapes = Mapping[str, tuple[int, ...]]

_S3D, _TSM = (f"{mmv.ROOT}visual_module/~/{name}/" for name in ("S3D", "TSMResNetV2"))
_AUDIO = f"{mmv.ROOT}audio_module/~/res_net_v2/"
_TEXT = f"{mmv.ROOT}text_module/~/"
_HEADS = f"{mmv.ROOT}~_get_pair_embedding_heads/"


@dataclasses.dataclass(frozen=True)
class MmvWeights:
    """Weights of an MMV model, proven to fit.

    Attributes:
      where: folder or file.
      config: shape of the model.
      tensors: by the names that `places` says: the released ones, or our paths.
      places: where every leaf lies among them.
      preprocess: modality, or "text" -> fields of its preprocessing spec, where they are stated.
      words: the file of the words it knows; None where there is none.
      folder: the checkpoint of this package that they are, as it lies there; None for any other.
    """

    where: Path
    config: MmvConfig
    tensors: Mapping[str, LazyTensor]
    places: tuple[rules.Place, ...]
    preprocess: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    words: Path | None = None
    folder: Path | None = None

    def params(self, dtype: Any = np.float32) -> paths.Tree:
        """All parameters and statistics as numpy arrays; None keeps the type they have."""
        return paths.unflatten(self._leaves("", dtype))

    def part(self, name: str, dtype: Any = np.float32) -> paths.Tree:
        """Those of a tower or of "heads", as `params` gives them."""
        return paths.unflatten(self._leaves(f"{name}/", dtype))[name]

    def _leaves(self, prefix: str, dtype: Any) -> dict[str, np.ndarray]:
        wanted = {
            path: (group, dtype or rules.stored(self.tensors, group))
            for path, group in rules.by_path(self.places).items()
            if path.startswith(prefix)
        }
        return dict(rules.leaves(self.where, self.tensors, wanted))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config; it is the same in every format."""
        told = json.dumps(config_lib.to_dict(self.config), sort_keys=True)
        told += checkpoint.digest(self.params(None))
        return hashlib.sha256(told.encode()).hexdigest()


def open_mmv(path: str | Path) -> MmvWeights:
    """Opens a released file, a folder that holds one, a checkpoint of ours or its work directory.

    Raises:
      CheckpointError: for weights of another system, or that are damaged.
    """
    path = checkpoint.within(path)
    if is_ours(path):
        return _stored(path)
    file = path / RELEASED if path.is_dir() else path
    if not file.exists():
        checkpoint.require_finished(path)
    found = _arrays(file, haiku_reader.read_haiku(file))
    cfg = config_of(file, {name: tensor.shape for name, tensor in found.items()})
    try:
        places = tuple(mmv.places(cfg, mmv.norm_name(found)))
    except errors.ConfigError as error:  # a head that the others ask for
        raise errors.CheckpointError(
            f"{file}: no weights of MMV that are whole: {error}"
        ) from error
    rules.prove(file, found, places)
    beside = file.parent / PREPROCESS
    stated = _preprocess(beside, checkpoint.read_json(beside)) if beside.is_file() else {}
    return MmvWeights(file, cfg, found, places, stated, words_of(file))


def is_mmv(path: str | Path) -> bool:
    """Whether a path is a checkpoint of ours of this kind, or a pickle that is no torch file."""
    path = Path(path)
    file = path / RELEASED if path.is_dir() else path
    return is_ours(path) or (haiku_reader.is_pickle(file) and not tensors.is_legacy(file))


def is_ours(path: Path) -> bool:
    """Whether a folder is an MMV checkpoint of this package."""
    file = Path(path) / checkpoint.CONFIG
    content = checkpoint.read_json(file) if file.is_file() else None
    return isinstance(content, dict) and content.get("kind") == KIND


def _arrays(where: Path, tree: Any) -> dict[str, LazyTensor]:
    """Name -> tensor of both parts; counters as floating point, as every leaf is."""
    held = tree if isinstance(tree, dict) else {}
    parts = [held[part] for part in PARTS if isinstance(held.get(part), dict)]
    if len(parts) < len(PARTS):
        raise errors.CheckpointError(
            f"{where}: no weights of MMV: expected a dict of {' and '.join(PARTS)}, found "
            f"{lazy.some(repr(key)[:60] for key in held) or type(tree).__name__}."
        )
    found: dict[str, LazyTensor] = {}
    for module, arrays in itertools.chain(*(part.items() for part in parts)):
        if not isinstance(arrays, dict):
            raise errors.CheckpointError(
                f"{where}: no weights of MMV: {module!r:.100} is {type(arrays).__name__}, expected "
                "arrays by name."
            )
        for name, one in arrays.items():
            if not isinstance(one, LazyTensor):
                raise errors.CheckpointError(
                    f"{where}: no weights of MMV: {name!r:.100} of {module!r:.100} is "
                    f"{type(one).__name__}, expected an array."
                )
            found[f"{module}/{name}"] = _floating(one) if name == "counter" else one
    return found


def _floating(tensor: LazyTensor) -> LazyTensor:
    return LazyTensor(
        tensor.shape, np.dtype(np.float32), lambda rows=None: np.float32(tensor.read(rows))
    )


def config_of(where: object, shapes: Shapes) -> MmvConfig:
    """The shape of a model by its arrays.

    Raises:
      CheckpointError: naming what there is not of an MMV model.
    """
    needed = {
        "a video tower": (f"{_S3D}Conv2d_1a_7x7/~/conv3_d/w", f"{_TSM}tsm_resnet_stem/w"),
        "an audio tower": (f"{_AUDIO}~/initial_conv/w",),
        "a table of words": (f"{_TEXT}embed/embeddings",),
        "a video head": (f"{_HEADS}vis_embd/final_projection/w",),
    }
    missing = [
        what for what, names in needed.items() if not any(_axes(shapes, name) for name in names)
    ]
    if missing:
        raise errors.CheckpointError(
            f"{where}: no weights of MMV: has no {', '.join(missing)}, but "
            f"{lazy.some((repr(name)[:100] for name in shapes), 3) or 'nothing'}."
        )
    try:
        video = _s3d(shapes) if needed["a video tower"][0] in shapes else _tsm(shapes)
        rows, width = shapes[f"{_TEXT}embed/embeddings"], shapes[f"{_TEXT}text_conv1/w"][-1]
        text = WordsConfig(width, *rows)
        return MmvConfig(_graph(shapes, video.width), video, _resnet(shapes), text)
    except (LookupError, TypeError, errors.ConfigError) as error:
        raise errors.CheckpointError(
            f"{where}: no weights of MMV that are whole: {error}; {lazy.AGAIN}."
        ) from error


def _axes(shapes: Shapes, name: str) -> int:
    return len(shapes.get(name, ()))


def _s3d(shapes: Shapes) -> S3DConfig:
    first = shapes[f"{_S3D}Conv2d_1a_7x7/~/conv3_d/w"]
    plain = S3DConfig(space_to_depth=first[-2] > 3)

    def start(which: Callable[[str, str], bool]) -> str | None:
        layers = ((name, *_units(name)) for name in STARTS)
        return next((name for name, point, wide in layers if which(point, wide)), None)

    return S3DConfig(
        space_to_depth=plain.space_to_depth,
        first_frames=None if first[0] == plain.entry[1][0] else first[0],
        gated_from=start(lambda point, _: f"{point}/self_gating/w" in shapes),
        temporal_from=start(lambda _, wide: shapes[f"{wide}/~/conv3_d_1/w"][0] > 1),
    )


def _units(layer: str) -> tuple[str, str]:
    """Names of a unit that may have a gate and of one that may see several frames."""
    if layer in mmv.SINGLE:
        return (f"{_S3D}{mmv.SINGLE[layer]}",) * 2
    block = f"{_S3D}{layer.capitalize()}/"
    return f"{block}{mmv.UNITS['branch_0']}", f"{block}{mmv.UNITS['branch_1']}"


def _count(shapes: Shapes, name: Callable[[int], str]) -> int:
    """How many there are, numbered from 0 on."""
    return next(i for i in itertools.count() if name(i) not in shapes)


def _groups(shapes: Shapes, pattern: str) -> dict[str, tuple[int, ...]]:
    """Channels and blocks of a ResNet, of names with the numbers of group and block."""
    groups = range(_count(shapes, lambda i: pattern.format(i, 0)))
    return {
        "channels": tuple(shapes[pattern.format(i, 0)][-1] for i in groups),
        "blocks": tuple(_count(shapes, functools.partial(pattern.format, i)) for i in groups),
    }


def _tsm(shapes: Shapes) -> TSMConfig:
    found = _groups(shapes, f"{_TSM}tsm_resnet_unit_{{}}/block_{{}}/conv_2/w")
    return TSMConfig(stem=shapes[f"{_TSM}tsm_resnet_stem/w"][-1], **found)


def _resnet(shapes: Shapes) -> ResNetConfig:
    block = f"{_AUDIO}~/block_group_{{}}/block_{{}}/~/"
    bottleneck = f"{block}conv_2/w".format(0, 0) in shapes
    inputs, stem = shapes[f"{_AUDIO}~/initial_conv/w"][-2:]
    found = _groups(shapes, f"{block}conv_{2 if bottleneck else 1}/w")
    return ResNetConfig(**found, bottleneck=bottleneck, stem=stem, inputs=inputs)


def _graph(shapes: Shapes, video_width: int) -> GraphConfig:
    wide = {
        name: shapes[f"{_HEADS}{name}/{_first(shapes, name)}/w"][0]
        for name in set(mmv.HEAD_NAMES.values())
        if f"{_HEADS}{name}/final_projection/w" in shapes
    }
    if "vid2audio_embd" not in wide:
        kind = "shared"
    else:
        fine = shapes[f"{_HEADS}vid2audio_embd/final_projection/w"][-1]
        kind = "fac" if wide["vis_embd"] == fine else "disjoint"
        if fine != wide["vis_embd"] != video_width:
            raise errors.ConfigError(
                f"vis_embd takes {wide['vis_embd']}, neither the video features' {video_width} nor "
                f"the {fine} of vid2audio_embd"
            )
    names = dict.fromkeys(r.head for ways in GRAPHS[kind].values() for r in ways.values())
    heads = {
        name: _head(shapes, f"{_HEADS}{mmv.HEAD_NAMES[name]}/")
        for name in names
        if mmv.HEAD_NAMES[name] in wide
    }
    normed = any(name.startswith(f"{mmv.ROOT}~_activate_interaction/") for name in shapes)
    interaction = ("bnrelu" if normed else "relu") if kind == "fac" else "none"
    audio_text = kind == "fac" and "audio_at" not in heads
    return GraphConfig(kind, heads, interaction, audio_text)


def _first(shapes: Shapes, name: str) -> str:
    inner = "final_projection_inner"
    return inner if f"{_HEADS}{name}/{inner}/w" in shapes else "final_projection"


def _head(shapes: Shapes, prefix: str) -> HeadConfig:
    def layer(i: int) -> str:
        return f"{prefix}{mmv.numbered('final_projection_inner', i)}/w"

    inner = tuple(shapes[layer(i)][-1] for i in range(_count(shapes, layer)))
    norms = sum(name.startswith(prefix) and name.endswith("/scale") for name in shapes)
    has_bias = f"{prefix}final_projection/b" in shapes
    norm = not has_bias if inner else norms > 0
    width = shapes[f"{prefix}final_projection/w"][-1]
    inner_norm = norms > norm if inner else True
    return HeadConfig(width, inner, inner_norm=inner_norm, norm=norm)


def save(
    folder: Path,
    cfg: MmvConfig,
    params: Mapping[str, Any],
    preprocess: Mapping[str, Mapping[str, Any]] | None = None,
    known: words.Words | None = None,
) -> None:
    """Writes a checkpoint of this package: `model.safetensors`, `config.json`, `words.txt`.

    Args:
      folder: to write; an existing one is replaced once the new one is complete.
      cfg: shape of the model.
      params: its parameters and statistics.
      preprocess: modality, or "text" -> fields of its preprocessing spec; where there is none, the
        preset "mmv" holds.
      known: the words of its texts, as many as the table has rows; None where they are not known.

    Raises:
      ConfigError: for words of another table.
      CheckpointError: when the disk does not take it.
    """
    if known is not None and (cfg.text is None or len(known) != cfg.text.vocab):
        rows = "no words" if cfg.text is None else f"{cfg.text.vocab} rows of words"
        raise errors.ConfigError(
            f"{folder}: {len(known)} words for a model with {rows}; give those it was trained with."
        )
    with checkpoint.replacing(folder) as partial:
        arrays = jax.tree.map(np.asarray, dict(params))
        checkpoint.write_model(partial, arrays, _config(cfg, preprocess))
        if known is not None:
            known.write(partial)


def words_of(path: Path) -> Path | None:
    """The file of the words beside the weights of a folder or file; None without one."""
    path = checkpoint.within(path)
    file = (path if path.is_dir() else path.parent) / words.FILE
    return file if file.is_file() else None


def _config(
    cfg: MmvConfig, preprocess: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    stated = {name: dict(one) for name, one in (preprocess or {}).items()}
    return {
        "kind": KIND,
        "model": config_lib.to_dict(cfg),
        **({_STATED: stated} if stated else {}),
    }


def _stored(folder: Path) -> MmvWeights:
    stored = checkpoint.load_config(folder)
    with fields.told_of(folder / checkpoint.CONFIG):
        cfg = mmv_config(stored["model"])
    found = weights.stored_tensors(folder)
    places = tuple(
        rules.Place(path, None, shape, path, rules.COPY, (0, 1))
        for path, shape in mmv.leaf_shapes(cfg).items()
    )
    rules.prove(folder, found, places)
    stated = _preprocess(folder / checkpoint.CONFIG, stored)
    return MmvWeights(folder, cfg, found, places, stated, words_of(folder), folder)


def _preprocess(where: Path, stored: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    stated = fields.section(stored, _STATED, where)
    return {
        name: fields.as_object(one, f"{where}: {_STATED}: {name}") for name, one in stated.items()
    }


def _safetensors(read: MmvWeights, folder: Path) -> None:
    save(folder, read.config, read.params(None), read.preprocess)


def _orbax(read: MmvWeights, folder: Path) -> None:
    with checkpoint.replacing(folder) as partial:
        write.write_orbax(partial, read.params(None))
        checkpoint.write_config(partial, _config(read.config, read.preprocess))


def write_released(read: MmvWeights, folder: Path) -> None:
    """Writes a folder with a file as released, which the original code loads."""
    with checkpoint.replacing(folder) as partial:
        tree: dict[str, dict[str, dict[str, np.ndarray]]] = {part: {} for part in PARTS}
        for name, array in _released(read):
            module, _, leaf = name.rpartition("/")
            part = PARTS[module.endswith(("/mean_ema", "/var_ema"))]
            kept = array.astype(np.int32) if leaf == "counter" else array
            tree[part].setdefault(module, {})[leaf] = kept
        (partial / RELEASED).write_bytes(pickle.dumps(tree, protocol=4))
        if read.preprocess:
            stated = {name: dict(one) for name, one in read.preprocess.items()}
            checkpoint.write_json(partial / PREPROCESS, {_STATED: stated})


def _released(read: MmvWeights) -> Iterator[tuple[str, np.ndarray]]:
    flat = paths.flatten(read.params(None))
    return rules.written(lambda path, _: flat[path], mmv.places(read.config))


# Format of `lb-jax convert` -> how an MMV model is written in it.
FORMATS: dict[str, Callable[[MmvWeights, Path], None]] = {
    "safetensors": _safetensors,
    "orbax": _orbax,
    "hf": write_released,  # what the original's own code loads
}


def convert(source: Path, folder: Path, to: str) -> tuple[MmvWeights, MmvWeights]:
    """Writes an MMV model in one of `FORMATS`.

    Args:
      source: what `open_mmv` opens.
      folder: to write; an MMV model or an empty folder that is there is replaced.
      to: the format.

    Returns:
      What was read, and what was written, opened again.

    Raises:
      ConfigError: for a format that has no place for it.
      CheckpointError: for weights that do not fit, or a folder that holds something else.
    """
    source, folder = replacing.require(source, folder, to, FORMATS, "MMV", is_mmv)
    read = open_mmv(source)
    with checkpoint.replacing(folder) as partial:  # with its words or not at all
        FORMATS[to](read, partial)
        if read.words is not None:
            shutil.copyfile(read.words, partial / words.FILE)
    return read, open_mmv(folder)


def differences(before: MmvWeights, after: MmvWeights) -> dict[str, float]:
    """Largest absolute difference of what two models give for the same random input, by output."""
    model, rng = Mmv(before.config), np.random.default_rng(0)
    given = {
        "video": rng.random((2, 4, 32, 32, 3), np.float32),
        "audio": rng.standard_normal((2, 32, 16, 1), np.float32),
        "image": rng.random((2, 32, 32, 3), np.float32),
    }
    if before.config.text:
        given["text"] = rng.integers(0, before.config.text.vocab, (2, 4), np.int32)
    given = {role: x for role, x in given.items() if role in before.config.towers}
    run = jax.jit(lambda params: model.run(params, given).embeddings)
    one, other = (run(jax.tree.map(jnp.asarray, each.params())) for each in (before, after))
    return {
        f"{role} {space}": float(jnp.abs(x - other[role][space]).max())
        for role, spaces in one.items()
        for space, x in spaces.items()
    }

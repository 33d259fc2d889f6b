"""VALOR as it was released, in and out, and as a checkpoint of this package (VALOR spec 8.2).

    FOLDER/log/hps.json                 the options of the run that saved it
    FOLDER/ckpt/model_step_N.pt         its weights; the last step counts

Both may also lie in FOLDER itself. What of a checkpoint the model does not use is kept under the
names it has there, in `unused.safetensors` of a checkpoint of this package, so that writing gives
every tensor again, bit for bit.
"""

import dataclasses
import functools
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import (
    fields,
    lazy,
    replacing,
    rules,
    safetensors_reader,
    swin,
    tensors,
    torch_writer,
    valor,
    valor_options,
)
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import Valor, ValorConfig, valor_config
from lb_jax.text import wordpiece

OPTIONS, LOG, CHECKPOINTS = "hps.json", "log", "ckpt"
UNUSED = "unused.safetensors"  # beside our checkpoint: what the released one has besides
KIND = "valor"  # field "kind" of our checkpoint's config
_STEP = re.compile(r"model_step_(\d+)\.pt")
_ENDINGS = (".pt", ".pth", ".bin", ".safetensors")


@dataclasses.dataclass(frozen=True)
class ValorWeights:
    """Weights of a VALOR model, proven to fit; nothing is read yet.

    Attributes:
      where: folder or file.
      config: shape of the model.
      preprocess: role -> fields of its preprocessing spec that the options fix.
      options: as saved beside the checkpoint.
      tensors: by the names that `places` says; those of the released checkpoint, or our paths.
      places: where every leaf lies among them.
      unused: tensors that the model does not have, by their released names.
      twins: released name -> the name of the tensor that it repeats.
      dtypes: released name -> its type, where the leaf that it is part of has a wider one.
      trained: role -> frames or clips that training saw; empty where that is not stated.
    """

    where: Path
    config: ValorConfig
    preprocess: Mapping[str, Any]
    options: Mapping[str, Any]
    tensors: Mapping[str, LazyTensor]
    places: tuple[rules.Place, ...]
    unused: Mapping[str, LazyTensor]
    twins: Mapping[str, str]
    dtypes: Mapping[str, str]
    trained: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def params(self, dtype: Any = np.float32) -> paths.Tree:
        """All parameters as numpy arrays; None keeps the type they are stored in."""
        wanted = {
            path: (group, dtype or rules.stored(self.tensors, group))
            for path, group in rules.by_path(self.places).items()
        }
        return paths.unflatten(rules.leaves(self.where, self.tensors, wanted))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of weights and config; it is the same in every format."""
        told = f"{config_lib.to_dict(self.config)} {dict(self.preprocess)}"
        return hashlib.sha256(f"{told} {checkpoint.digest(self.params(None))}".encode()).hexdigest()


def open_valor(
    path: str | Path,
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    called: str | None = None,
) -> ValorWeights:
    """Opens a released folder, one file of weights, a checkpoint of ours or its work directory.

    Args:
      path: folder or file.
      config: the options, or their file, where they do not lie beside the weights.
      called: how messages name it, where it was given by a name.

    Raises:
      CheckpointError: for weights of another system, without options, or that do not fit them.
      ConfigError: for options of a checkpoint that has its own.
    """
    path = checkpoint.within(path)
    if is_ours(path):
        if config is not None:
            raise errors.ConfigError(
                f"{called or path}: a checkpoint of this package has its own config; leave config "
                "out."
            )
        return _stored(path)
    file = _weights_file(path)
    options, told = _options(path, config)
    found = _plain(tensors.state_dict(tensors.open_tensors(file), file), file)
    _require_valor(file, found)
    shapes = {name: tensor.shape for name, tensor in found.items()}
    cfg = valor_options.config(options, shapes, told)
    return _proven(file, cfg, options, found)


def is_valor(path: Path) -> bool:
    """Whether a folder holds a VALOR model, as released or as a checkpoint of this package."""
    path = Path(path)
    released = (path / LOG / OPTIONS, path / OPTIONS)
    has_steps = any(_STEP.fullmatch(one.name) for one in (path / CHECKPOINTS).glob("*.pt"))
    return is_ours(path) or has_steps or any(one.is_file() for one in released)


def is_ours(path: Path) -> bool:
    """Whether a folder is a VALOR checkpoint of this package."""
    file = Path(path) / checkpoint.CONFIG
    content = checkpoint.read_json(file) if file.is_file() else None
    return isinstance(content, dict) and content.get("kind") == KIND


def save(
    folder: Path,
    cfg: ValorConfig,
    params: Mapping[str, Any],
    *,
    preprocess: Mapping[str, Any] | None = None,
    source: ValorWeights | None = None,
    trained: Mapping[str, int] | None = None,
    vocabulary: wordpiece.WordPiece | None = None,
) -> None:
    """Writes a checkpoint of this package: `model.safetensors`, `config.json`.

    Args:
      folder: to write; an existing one is replaced once the new one is complete.
      cfg: shape of the model.
      params: its parameters.
      preprocess: role -> fields of its preprocessing spec; None takes those of the source.
      source: the released weights they come from; what those have besides is kept.
      trained: role -> frames or clips that training saw; None takes those of the source.
      vocabulary: written beside them.
    """
    if preprocess is None:
        preprocess = source.preprocess if source else {}
    if trained is None:
        trained = source.trained if source else {}
    config: dict[str, Any] = {
        "kind": KIND,
        "model": config_lib.to_dict(cfg),
        "preprocess": dict(preprocess),
        **({"trained": dict(trained)} if trained else {}),
    }
    flat = paths.flatten(params)
    with checkpoint.replacing(folder) as partial:
        leaves = ((path, [np.asarray(leaf)]) for path, leaf in flat.items())
        metadata = {"format": checkpoint.FORMAT}
        checkpoint.write_safetensors(partial / checkpoint.WEIGHTS, leaves, len(flat), metadata)
        if source:
            kept = {"options": dict(source.options), "twins": dict(source.twins)}
            config["origin"] = {**kept, "dtypes": dict(source.dtypes)}
            unused = {n: t for n, t in source.unused.items() if t.dtype.name in checkpoint.DTYPES}
            rows = ((name, [tensor.read()]) for name, tensor in unused.items())
            checkpoint.write_safetensors(partial / UNUSED, rows, len(unused), metadata)
        if vocabulary:
            vocabulary.write(partial)
        checkpoint.write_config(partial, config)


def write_released(weights: ValorWeights, folder: Path) -> None:
    """Writes a folder as released, which the original code loads.

    Args:
      weights: of any format.
      folder: to write; an existing one is replaced once the new one is complete.

    Raises:
      CheckpointError: for towers that the original does not have.
    """
    cfg = weights.config
    with checkpoint.replacing(folder) as partial:
        for name in (LOG, CHECKPOINTS):
            (partial / name).mkdir()
        shapes: dict[str, tuple[int, ...]] = {}

        def counted() -> Iterator[tuple[str, np.ndarray]]:
            for name, array in _released(weights):
                shapes[name] = array.shape
                yield name, array

        twins = weights.twins or usual_twins(cfg)
        torch_writer.write(partial / CHECKPOINTS / "model_step_0.pt", counted(), twins)
        options = weights.options or valor_options.to_options(cfg, shapes)
        checkpoint.write_json(partial / LOG / OPTIONS, dict(options))


def _copy(weights: ValorWeights, folder: Path) -> None:
    params = weights.params(None)
    save(folder, weights.config, params, source=weights)


# Format of `lb-jax convert` -> how a VALOR model is written in it.
FORMATS: dict[str, Callable[[ValorWeights, Path], None]] = {
    "safetensors": _copy,
    "hf": write_released,  # what the original's own code loads
}


def convert(
    source: Path,
    folder: Path,
    to: str,
    config: str | Path | None = None,
    *,
    called: str | None = None,
) -> tuple[ValorWeights, ValorWeights]:
    """Writes a VALOR model in one of `FORMATS`.

    Args:
      source: what `open_valor` opens.
      folder: to write; a VALOR model or an empty folder that is there is replaced.
      to: the format.
      config: the options, where they do not lie beside the weights.
      called: as `open_valor` takes it.

    Returns:
      What was read, and what was written, opened again.

    Raises:
      ConfigError: for a format that has no place for it.
      CheckpointError: for weights that do not fit, or a folder that holds something else.
    """
    source, folder = replacing.require(source, folder, to, FORMATS, "VALOR", is_valor)
    read = open_valor(source, config, called=called)
    with checkpoint.replacing(folder) as partial:  # with its vocabulary or not at all
        FORMATS[to](read, partial)
        if (vocabulary := vocabulary_of(source)) is not None:
            shutil.copyfile(vocabulary, partial / wordpiece.FILE)
    return read, open_valor(folder)


def vocabulary_of(path: Path) -> Path | None:
    """The file of the vocabulary beside the weights of a folder or file; None without one."""
    path = checkpoint.within(path)
    folder = path if path.is_dir() else path.parent
    above = [folder.parent] if folder.name == CHECKPOINTS else []
    found = (one / wordpiece.FILE for one in (folder, *above))
    return next((one for one in found if one.is_file()), None)


def differences(before: ValorWeights, after: ValorWeights) -> dict[str, float]:
    """Largest absolute difference of what two models give for the same random input, by output."""
    model, rng = Valor(before.config), np.random.default_rng(0)
    cfg = before.config
    ids = rng.integers(0, cfg.text.vocab, (2, min(8, cfg.text.context)), np.int32)
    ids[:, 0] = cfg.text.begin
    given = {role: rng.standard_normal(shape, np.float32) for role, shape in _inputs(cfg).items()}

    @jax.jit
    def run(params):
        seen = {role: model.perceive(params, role, x) for role, x in given.items()}
        tokens = {role: one.pooled for role, one in seen.items()} | {
            "text": model.read(params, ids)
        }
        memory = model.hand_over(params, {role: one.tokens for role, one in seen.items()})
        found = {role: model.align(params, role, one).features for role, one in tokens.items()}
        return {**found, "captions": jax.nn.log_softmax(model.write(params, ids, memory))}

    one, other = (run(jax.tree.map(jnp.asarray, each.params())) for each in (before, after))
    return {name: float(jnp.abs(one[name] - other[name]).max()) for name in one}


def _inputs(cfg: ValorConfig) -> dict[str, tuple[int, ...]]:
    """Role -> shape of two items of one frame or clip."""
    found: dict[str, tuple[int, ...]] = {}
    for role, tower in cfg.towers.items():
        if isinstance(tower, SwinConfig):
            side = tower.patch_size * tower.window[1] * 2 ** (len(tower.depths) - 1)
            found[role] = (2, 2, side, side, 3)
        elif role == "video":
            found[role] = (2, tower.frames, *tower.image_size, 3)
        else:
            channels = tower.kind.channels
            mel_bins, frames = tower.image_size
            found[role] = (2, 1, mel_bins, frames) if channels == 1 else (2, mel_bins, frames, 3)
    return found


def _weights_file(path: Path) -> Path:
    """The checkpoint of a folder, or the file itself."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise errors.CheckpointError(f"{path}: no such file or folder.")
    for folder in (path / CHECKPOINTS, path):
        steps = [
            (int(hit[1]), one) for one in folder.glob("*.pt") if (hit := _STEP.match(one.name))
        ]
        if steps:
            return max(steps)[1]
        others = sorted(one for one in folder.glob("*") if one.suffix in _ENDINGS)
        if len(others) == 1:
            return others[0]
        if others:
            raise errors.CheckpointError(
                f"{folder}: holds several files of weights "
                f"({lazy.some((one.name for one in others), 3)}); give one of them."
            )
    checkpoint.require_finished(path)
    held = ", ".join(sorted(one.name for one in path.iterdir())[:6]) or "nothing"
    raise errors.CheckpointError(
        f"{path}: no weights; expected {CHECKPOINTS}/model_step_N.pt or a .pt file, found {held}."
    )


def _options(path: Path, given: Any) -> tuple[Mapping[str, Any], object]:
    """The options and what they are called in messages."""
    if isinstance(given, Mapping):
        return given, path
    if given is not None:
        if not Path(given).is_file():
            raise errors.ConfigError(
                f"config={str(given)!r}: no such file; give the options' file."
            )
        return fields.as_object(checkpoint.read_json(Path(given)), given), given
    folder = path if path.is_dir() else path.parent
    if folder.name == CHECKPOINTS:
        folder = folder.parent
    for file in (folder / LOG / OPTIONS, folder / OPTIONS):
        if file.is_file():
            return fields.as_object(checkpoint.read_json(file), file), file
    raise errors.CheckpointError(
        f"{folder}: no {LOG}/{OPTIONS}, the options of the run, without which the weights do not "
        "tell their model; put the file there, or give it as config."
    )


def _plain(found: Mapping[str, LazyTensor], where: Path) -> dict[str, LazyTensor]:
    """The tensors without `module.` anywhere in their names."""
    named = {re.sub(r"(^|\.)(?:module\.)+", r"\1", name): one for name, one in found.items()}
    if len(named) < len(found):
        raise errors.CheckpointError(
            f"{where}: tensors stand there twice, with and without module.; save the state dict of "
            "one model."
        )
    return named


def _require_valor(where: Path, found: Mapping[str, LazyTensor]) -> None:
    """Refuses weights of another system.

    Raises:
      CheckpointError: naming what is missing of a VALOR model.
    """
    needed = (
        "multimodal_encoder.embeddings.word_embeddings.weight",
        "contra_head_t.linear.weight",
        "video_frame_embedding",
    )
    missing = [name for name in needed if name not in found]
    if missing:
        raise errors.CheckpointError(
            f"{where}: no weights of VALOR: has no {', '.join(missing)}, but "
            f"{lazy.some(found, 3)}; VAST and others are not read."
        )


def _proven(
    where: Path, cfg: ValorConfig, options: Mapping[str, Any], found: Mapping[str, LazyTensor]
) -> ValorWeights:
    single = valor.without_twins(where, found)
    places = tuple(valor.places(cfg))
    rules.prove(where, single, places, valor.KEPT)
    if isinstance(cfg.video, SwinConfig):
        swin.require_indices(where, found, cfg.video, valor.SWIN)
    used = {place.name for place in places}
    dtypes = {
        place.name: single[place.name].dtype.name
        for group in rules.by_path(places).values()
        for place in group
        if single[place.name].dtype != rules.stored(single, group)
    }
    return ValorWeights(
        where=where,
        config=cfg,
        preprocess=valor_options.preprocessing(options, cfg),
        options=dict(options),
        tensors={name: single[name] for name in used},
        places=places,
        unused={name: one for name, one in single.items() if name not in used},
        twins={name: str(valor.twin(name)) for name in found if name not in single},
        dtypes=dtypes,
    )


def _stored(folder: Path) -> ValorWeights:
    """A checkpoint of this package."""
    stored = checkpoint.load_config(folder)
    file = folder / checkpoint.WEIGHTS
    with fields.told_of(folder / checkpoint.CONFIG):
        cfg = valor_config(stored["model"])
    found = safetensors_reader.read_safetensors(file)
    places = tuple(
        rules.Place(path, None, shape, path, rules.COPY, (0, 1))
        for path, shape in valor.leaf_shapes(cfg).items()
    )
    rules.prove(file, found, places)
    origin, unused = stored.get("origin", {}), folder / UNUSED
    return ValorWeights(
        where=folder,
        config=cfg,
        preprocess=stored.get("preprocess", {}),
        options=origin.get("options", {}),
        tensors=found,
        places=places,
        unused=safetensors_reader.read_safetensors(unused) if unused.is_file() else {},
        twins=origin.get("twins", {}),
        dtypes=origin.get("dtypes", {}),
        trained=stored.get("trained", {}),
    )


def _released(weights: ValorWeights) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor under its released name, but for twins."""
    flat = paths.flatten(weights.params(None))

    def leaf(path: str, layer: int | None) -> np.ndarray:
        return flat[path] if layer is None else flat[path][layer]

    for name, array in rules.written(leaf, valor.places(weights.config)):
        yield name, array.astype(weights.dtypes.get(name, array.dtype), copy=False)
    for name, tensor in weights.unused.items():
        yield name, tensor.read()
    tower = weights.config.video
    if isinstance(tower, SwinConfig):
        yield from (one for one in swin.indices(tower, valor.SWIN) if one[0] not in weights.unused)


def usual_twins(cfg: ValorConfig) -> dict[str, str]:
    """The twins of a model that was never a released one."""
    names = {place.name for place in valor.places(cfg)}
    decoder, encoder = "multimodal_encoder.", "txt_encoder."
    found = {name.replace(decoder, encoder, 1): name for name in names if name.startswith(decoder)}
    return {**found, "cls.decoder.weight": f"{decoder}embeddings.word_embeddings.weight"}

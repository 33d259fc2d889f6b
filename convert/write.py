"""Weights out, one function per row of `FORMATS`; a folder appears whole or not at all.

safetensors   our checkpoint: `model.safetensors`, `config.json`
orbax         the same with `params/`, written by Orbax
hf            what the original PyTorch code loads: one folder per modality
clip          what transformers and sentence-transformers open: a plain CLIP per modality
open_clip     what OpenCLIP loads: plain towers only
stablehlo     one program per tower with a symbolic batch, and its parameters
"""

import collections
import contextlib
import dataclasses
import functools
import importlib.util
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from lb_jax.convert import (
    clip,
    imagebind_files,
    languagebind,
    limits,
    open_clip,
    pictures,
    rules,
    texts,
    tokenizer_files,
)
from lb_jax.convert.parts import Weights, layers, tower_leaf
from lb_jax.convert.sharing import leaf_origins, shared_leaves
from lb_jax.convert.source import CONFIG, OPEN_CLIP_CONFIG, leaf_shapes
from lb_jax.convert.weights import Merged
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core import config as config_lib
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.models import families
from lb_jax.models import imagebind as imagebind_towers
from lb_jax.models.languagebind import LanguageBind, input_shape

_NEEDED = {"stablehlo": "flatbuffers"}  # by jax.export, which does not ask for it
Pieces = Iterator[np.ndarray]  # of a leaf, in order along its leading axis

PLATFORMS = ("cpu", "cuda", "tpu")
# Files that a folder written here may hold, by their path in it.
_ANY_MODALITY = "|".join(MODALITIES)
_WRITTEN = re.compile(
    rf"(({_ANY_MODALITY})/)?((preprocessor_|tokenizer_)?config\.json|model\.safetensors)"
    rf"|(({_ANY_MODALITY})/)?(tokenizer|vocab|modules)\.json|(({_ANY_MODALITY})/)?merges\.txt"
    r"|(calibration|golden)\.json"
    r"|imagebind(_huge)?\.pth"
    rf"|(({_ANY_MODALITY})/)?open_clip_(config\.json|model\.safetensors)"
    rf"|inputs\.json|({_ANY_MODALITY}|{TEXT})\.(safetensors|stablehlo)"
    rf"|{checkpoint.ORBAX}/.*"
)
_ORBAX_MARK = "_CHECKPOINT_METADATA"  # what Orbax leaves in a folder of its own


@dataclasses.dataclass
class Report:
    """What a conversion wrote.

    Attributes:
      tensors: number of arrays.
      parameters: number of values in them.
      notes: what opens it, and what else to know of it, in words.
    """

    tensors: int = 0
    parameters: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def count(self, leaves: Iterable[tuple[str, Pieces]]) -> Iterator[tuple[str, Pieces]]:
        """Passes leaves on and counts them."""
        for name, pieces in leaves:
            self.tensors += 1
            yield name, map(self._counted, pieces)

    def _counted(self, piece: np.ndarray) -> np.ndarray:
        self.parameters += piece.size
        return piece


def write(weights: Weights, folder: Path, to: str) -> Report:
    """Writes weights in one of `FORMATS`.

    Args:
      weights: of any kind.
      folder: to write; an existing one is replaced once the new one is complete.
      to: the format.

    Raises:
      ConfigError: for an unknown format.
      CheckpointError: for what the format cannot hold, or a disk that cannot take it.
    """
    if to not in FORMATS:
        raise errors.ConfigError(
            f"unknown format {to!r}; known: {', '.join(FORMATS)}.{errors.nearest(to, FORMATS)}"
        )
    folder = Path(folder).resolve()
    if (library := _NEEDED.get(to)) and importlib.util.find_spec(library) is None:
        raise errors.ConfigError(
            f"--to={to} needs the library {library}, which is not installed; `pip install "
            f"{library}` brings it."
        )
    limits.require(weights, to)
    _require_replaceable(folder, weights.files)
    report = Report()
    of_family = _OF_FAMILY.get(weights.config.kind.name, {})
    with checkpoint.replacing(folder) as partial:
        of_family.get(to, FORMATS[to])(weights, partial, report)
    return report


def _require_replaceable(folder: Path, read: Iterable[Path]) -> None:
    """Refuses a folder that writing, which replaces all of it, would take something else from.

    Raises:
      CheckpointError: naming what else is there, or that the weights are read from it.
    """
    for file in read:
        if folder in (file.resolve(), *file.resolve().parents):
            raise errors.CheckpointError(
                f"{folder}: the weights are read from {file}, which writing here would delete; "
                "choose another folder."
            )
    files = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    strange = sorted(str(path) for path in files if not _WRITTEN.fullmatch(path.as_posix()))
    orbax = folder / checkpoint.ORBAX
    if orbax.is_dir() and not (orbax / _ORBAX_MARK).is_file():
        strange.append(checkpoint.ORBAX)
    if strange:
        raise errors.CheckpointError(
            f"{folder}: holds {', '.join(strange[:5])}, which writing here would delete; choose a "
            "new or empty folder."
        )


def _safetensors(weights: Weights, folder: Path, report: Report) -> None:
    at_most = sum(
        len(paths.flatten(LanguageBind(weights.config).shapes(name))) + 1
        for name in (*weights.config.towers, TEXT)
    )
    leaves = report.count(
        (path, _pieces(weights, name, inside)) for path, name, inside in leaf_origins(weights)
    )
    metadata = {"format": checkpoint.FORMAT}
    checkpoint.write_safetensors(folder / checkpoint.WEIGHTS, leaves, at_most, metadata)
    _write_config(weights, folder)


def _orbax(weights: Weights, folder: Path, report: Report) -> None:
    leaves = report.count((path, [leaf]) for path, leaf in shared_leaves(weights))
    write_orbax(folder, paths.unflatten({path: next(pieces) for path, pieces in leaves}))
    _write_config(weights, folder)


def write_orbax(folder: Path, tree: Mapping[str, Any]) -> None:
    """Writes parameters into a checkpoint's folder by Orbax.

    Raises:
      OSError: where the disk refuses them.
    """
    try:
        with _quiet_orbax(), ocp.StandardCheckpointer() as writer:
            writer.save((folder / checkpoint.ORBAX).resolve(), tree)
    except ValueError as error:  # how TensorStore tells what the operating system told it
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Orbax prints the tracebacks of its threads besides raising what they raised."""
    hook, level = threading.excepthook, logging.getLogger("absl").level
    threading.excepthook = lambda told: None
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        threading.excepthook = hook
        logging.getLogger("absl").setLevel(level)


def _write_config(weights: Weights, folder: Path) -> None:
    values = {
        "model": config_lib.to_dict(weights.config),
        "preprocess": weights.preprocess,
    }
    if weights.origin:  # a copy of a trained checkpoint is the same model, byte by byte
        values["origin"] = weights.origin
    checkpoint.write_config(folder, values)


def _hf(weights: Weights, folder: Path, report: Report) -> None:
    opened = collections.defaultdict(list)
    for modality, vision in weights.config.towers.items():
        base_layer = weights.origin.get(modality, {}).get("base_layer", False)
        table = clip.RULES
        if vision.lora:
            table = clip.peft_rules(vision.lora.targets, base_layer=base_layer)
        config = languagebind.folder_config(weights, modality)
        into = _folder_of(weights, folder, modality)
        checkpoint.write_json(into / CONFIG, config)
        is_clip = config.get("model_type") == "clip"
        if is_clip and modality != "audio":
            side = vision.image_size[0]
            stated = pictures.to_hf(weights.preprocess.get(modality, {}), side)
            checkpoint.write_json(into / pictures.PREPROCESSOR, stated)
        if _has_vocabulary(weights):
            tokenizer_files.write_plain(into, weights.config.text.context)
        kind = ("wrapped" if vision.lora else "clip") if is_clip else "LanguageBind"
        opened[kind].append(config.get("model_type"))
        _write_foreign(weights, modality, table, into / "model.safetensors", report)
    report.notes += [
        f"opened by {_OPENERS[kind].format(', '.join(types))}" for kind, types in opened.items()
    ]
    others = limits.held(weights, "clip")
    if others and {*opened} != {"clip"}:
        only = f" --only={','.join(others)}" if len(others) < len(weights.config.towers) else ""
        report.notes.append(f"transformers alone opens what --to=clip{only} writes")
    report.notes += _without_vocabulary(weights)


_OPENERS = {
    "clip": "transformers (AutoModel, AutoProcessor, AutoTokenizer)",
    "wrapped": "transformers' CLIPModel once peft has wrapped its vision encoder (docs/weights.md)",
    "LanguageBind": "from_pretrained of {} in LanguageBind's own code",
}


def _clip(weights: Weights, folder: Path, report: Report) -> None:
    if any(tower.lora for tower in weights.config.towers.values()):
        weights = Merged(weights)
        report.notes.append("LoRA factors are folded into the weights")
    text = weights.config.text
    for modality, vision in weights.config.towers.items():
        into = _folder_of(weights, folder, modality)
        config = clip.to_config(vision, text)
        if _has_vocabulary(weights):
            config["text_config"] |= tokenizer_files.SPECIAL_IDS
            tokenizer_files.write(into, text.context, weights.preprocess.get(TEXT, {}))
        spec = weights.preprocess.get(modality, {})
        checkpoint.write_json(into / CONFIG, config)
        checkpoint.write_json(
            into / pictures.PREPROCESSOR, pictures.to_hf(spec, vision.image_size[0])
        )
        checkpoint.write_json(into / "modules.json", _MODULES)
        _write_foreign(weights, modality, clip.RULES, into / "model.safetensors", report)
        report.notes += [f"{modality}: {one}" for one in pictures.differences(spec, modality)]
    opener = f"{_OPENERS['clip']} and SentenceTransformer(folder)"
    if missing := _without_vocabulary(weights):
        opener = "transformers (AutoModel, AutoImageProcessor)"
    report.notes += [*missing, f"opened by {opener}"]


# What sentence-transformers does with a text or a picture; both modules are known to all versions.
_MODULES = [
    {"idx": idx, "name": str(idx), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for idx, (path, kind) in enumerate([("", "CLIPModel"), ("1_Normalize", "Normalize")])
]


def _has_vocabulary(weights: Weights) -> bool:
    """Whether the text tower has a row for every token of CLIP's tokenizer."""
    return weights.config.text.vocab >= tokenizer_files.VOCABULARY


def _imagebind(weights: Weights, folder: Path, report: Report) -> None:
    written = imagebind_files.write_released(weights, folder)
    report.tensors, report.parameters = written
    lacking = [name for name in imagebind_towers.SIZES if name not in weights.config.towers]
    strict = ", strict=False" if lacking else ""
    report.notes.append(f"opened by load_state_dict(torch.load(…){strict}) of ImageBind's own code")


def _without_vocabulary(weights: Weights) -> list[str]:
    """A note where there is nothing that makes tokens of texts."""
    if _has_vocabulary(weights):
        return []
    return [
        f"no tokenizer files: the text tower knows {weights.config.text.vocab:,} tokens, CLIP's "
        f"tokenizer {tokenizer_files.VOCABULARY:,}"
    ]


def _open_clip(weights: Weights, folder: Path, report: Report) -> None:
    for modality, vision in weights.config.towers.items():
        origin = weights.origin.get(modality, {})
        config = open_clip.to_config(vision, weights.config.text)
        config["model_cfg"]["text_cfg"] |= texts.to_open_clip(weights.preprocess.get(TEXT, {}))
        spec = weights.preprocess.get(modality, {})
        if modality != "audio":
            config["preprocess_cfg"] = pictures.to_open_clip(spec, vision.image_size[0])
        if origin.get("kind") == "OpenCLIP":
            config = origin["config"]
        table = open_clip.custom_text_rules() if origin.get("custom_text") else open_clip.RULES
        into = _folder_of(weights, folder, modality)
        checkpoint.write_json(into / OPEN_CLIP_CONFIG, config)
        _write_foreign(weights, modality, table, into / "open_clip_model.safetensors", report)
    report.notes.append("opened by open_clip.create_model_and_transforms('local-dir:FOLDER')")


def _write_foreign(
    weights: Weights, modality: str, table: tuple[rules.Rule, ...], file: Path, report: Report
) -> None:
    """One tower, its text tower and temperature under the names of a table."""
    shapes = leaf_shapes(modality, weights.config.towers[modality], weights.config.text)
    found = rules.places(table, shapes)

    def leaf(path: str, layer: int | None) -> np.ndarray:
        top, _, inside = path.partition("/")
        if top == "logit_scale":
            return tower_leaf(weights, top, modality)
        array = tower_leaf(weights, modality if top == "vision" else top, inside, layer=layer)
        return array if layer is None else array[0]

    stored = weights.origin.get(modality, {}).get("dtypes", {})
    named = (
        (name, [tensor.astype(stored.get(name, tensor.dtype), copy=False)])
        for name, tensor in rules.written(leaf, found)
    )
    checkpoint.write_safetensors(file, report.count(named), len(found), {"format": "pt"})


def _folder_of(weights: Weights, folder: Path, modality: str) -> Path:
    """A folder per modality where there are several."""
    into = folder / modality if len(weights.config.towers) > 1 else folder
    into.mkdir(parents=True, exist_ok=True)
    return into


def _stablehlo(weights: Weights, folder: Path, report: Report) -> None:
    """For every tower `<name>.stablehlo` = f(parameters by path, input [b, …]) -> unit vectors.

    The parameters lie beside it, `<name>.safetensors`: a program that held them would pass the size
    a StableHLO file can have.
    """
    model = LanguageBind(weights.config)
    inputs = {}
    for name in (*model.modalities, TEXT):
        shapes = paths.flatten(model.shapes(name))
        leaves = ((path, _pieces(weights, name, path, np.float32)) for path in shapes)
        checkpoint.write_safetensors(
            folder / f"{name}.safetensors", report.count(leaves), len(shapes), {"format": "lb_jax"}
        )
        x = _symbolic_input(model, name)
        exported = jax.export.export(
            jax.jit(functools.partial(_encode, model, name)), platforms=PLATFORMS
        )(shapes, x)
        (folder / f"{name}.stablehlo").write_bytes(exported.serialize())
        inputs[name] = {"shape": [str(size) for size in x.shape], "dtype": str(x.dtype)}
        inputs[name]["preprocess"] = weights.preprocess.get(name, {})
    checkpoint.write_json(folder / "inputs.json", inputs)
    report.notes.append("opened by jax.export.deserialize (docs/weights.md)")


def _pieces(weights: Weights, name: str, path: str, dtype: Any = None) -> Pieces:
    """A leaf layer by layer."""
    if name == "logit_scale":
        return iter([tower_leaf(weights, name, path, dtype)])
    chosen = layers(weights, name, path)
    return (tower_leaf(weights, name, path, dtype, layer) for layer in chosen)


def _encode(model: LanguageBind, name: str, leaves: Mapping[str, jax.Array], x: jax.Array):
    tree = paths.unflatten(leaves)
    params = {TEXT: tree} if name == TEXT else {"base": {}, "towers": {name: tree}}
    return model.encode(params, name, x)


def _symbolic_input(model: LanguageBind, name: str) -> jax.ShapeDtypeStruct:
    batch = jax.export.symbolic_shape("b")
    if name == TEXT:
        return jax.ShapeDtypeStruct((*batch, model.cfg.text.context), jnp.int32)
    return jax.ShapeDtypeStruct((*batch, *input_shape(model.cfg, name)), jnp.float32)


# What a family has in place of a format below.
_OF_FAMILY: dict[str, dict[str, Callable[[Weights, Path, Report], None]]] = {
    families.IMAGEBIND.name: {"hf": _imagebind}
}
FORMATS: dict[str, Callable[[Weights, Path, Report], None]] = {
    "safetensors": _safetensors,
    "orbax": _orbax,
    "hf": _hf,
    "clip": _clip,
    "open_clip": _open_clip,
    "stablehlo": _stablehlo,
}

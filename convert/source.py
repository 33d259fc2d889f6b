"""Published weights, recognised from their content and proven to fit before anything is read.

What is recognised (spec 2.4):

    folder with config.json and HF names        LanguageBind (any version, LoRA or tuned), HF CLIP
    folder with adapter_config.json             PEFT factors over a base of any kind
    folder with open_clip_config.json           OpenCLIP
    one file of weights                         the same, with a config beside it or given
    one file {"epoch", "state_dict", …}         a training checkpoint of LanguageBind or OpenCLIP
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import (
    clip,
    fields,
    hub,
    languagebind,
    open_clip,
    peft,
    pictures,
    rules,
    tensors,
    texts,
    unconfigured,
)
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.core.words import counted
from lb_jax.models.languagebind import LanguageBind, ModelConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
# What else a Hugging Face folder says of its model: how pictures and texts are prepared.
BESIDE = (pictures.PREPROCESSOR, pictures.PROCESSOR, *texts.FILES)
GLPN = " It is a GLPN, which tells depth: `lb-jax corpus generate --depth` takes it."
_WEIGHTS = tuple(form[0] for form in hub.WEIGHTS)


@dataclasses.dataclass(frozen=True)
class Source:
    """Weights of one modality and its text tower, proven to fit.

    Attributes:
      where: folder or file.
      kind: "LanguageBind", "CLIP" or "OpenCLIP".
      modality: what the vision tower is used for.
      vision, text: the towers.
      preprocess: what the config fixes of the modality's preprocessing spec.
      tensors: of the file, by their own names.
      places: where every leaf lies among them; leaves are `vision/…`, `text/…`, `logit_scale`.
      ignored: names of tensors that are not read.
      origin: what writing the same files back needs, as JSON values.
      files: what is read besides `where`.
      text_preprocess: as `preprocess`, of the texts.
    """

    where: Path
    kind: str
    modality: str
    vision: VisionConfig
    text: TextConfig
    preprocess: dict[str, Any]
    tensors: Mapping[str, LazyTensor]
    places: tuple[rules.Place, ...]
    ignored: tuple[str, ...]
    origin: dict[str, Any]
    files: tuple[Path, ...] = ()
    text_preprocess: dict[str, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def dtypes(self) -> dict[str, str]:
        """Tensor -> its type, where the leaf it is part of has a wider one."""
        return {
            place.name: self.tensors[place.name].dtype.name
            for places in self._places.values()
            for place in places
            if self.tensors[place.name].dtype != rules.stored(self.tensors, places)
        }

    @functools.cached_property
    def _places(self) -> Mapping[str, list[rules.Place]]:
        return rules.by_path(self.places)

    def read(
        self, wanted: Callable[[str], bool], dtype: Any = None, layer: int | None = None
    ) -> dict[str, np.ndarray]:
        """The leaves whose path is wanted: path -> array.

        Args:
          wanted: of the paths.
          dtype: of the result; None keeps what is stored.
          layer: the only one to read of stacked leaves; their leading axis is then 1.
        """
        return rules.leaves(
            self.where,
            self.tensors,
            {
                path: (
                    places if layer is None or places[0].layer is None else [places[layer]],
                    dtype or rules.stored(self.tensors, places),
                )
                for path, places in self._places.items()
                if wanted(path)
            },
        )


def open_source(
    path: Path, modality: str | None = None, config: str | Path | Mapping[str, Any] | None = None
) -> Source:
    """Recognises weights and proves that they fit; reads headers only.

    Args:
      path: folder or file.
      modality: what the vision tower is used for; None takes what the weights say.
      config: for weights without one: a `config.json` or `open_clip_config.json`, its content, or
        the name of an OpenCLIP model such as "ViT-B-32-quickgelu".

    Raises:
      CheckpointError: saying what was found where nothing fits.
      ConfigError: for a modality the weights are not for.
    """
    path = Path(path)
    if (path / peft.CONFIG).is_file():
        return _open_adapter(path, modality)
    file = weights_file(path)
    found = tensors.state_dict(tensors.open_tensors(file), file)
    return recognise(file, found, modality, _config_of(file, config))


def recognise(
    where: Path,
    found: Mapping[str, LazyTensor],
    modality: str | None,
    configs: Mapping[str, Mapping[str, Any]],
) -> Source:
    """The source that a dict of tensors is.

    Args:
      where: for messages.
      found: the tensors.
      modality: as for `open_source`.
      configs: what is known of them: file name -> content.
    """
    found = _with_scalar_scale(peft.rewrapped(found))
    names = list(found)
    if any(name.startswith("visual.") for name in names):
        return _open_clip(where, found, modality, configs.get(OPEN_CLIP_CONFIG))
    if any(name.startswith("vision_model.") for name in names):
        foreign = OPEN_CLIP_CONFIG in configs
        return _hf(where, found, modality, configs.get(CONFIG), configs, foreign_config=foreign)
    is_glpn = any(name.startswith("glpn.") for name in names)
    raise errors.CheckpointError(
        f"{where}: {counted(len(names), 'tensor')} of no known kind ({', '.join(names[:3])}, …); "
        "expected names with vision_model. (LanguageBind, HF CLIP) or visual. (OpenCLIP)."
        f"{GLPN if is_glpn else ''}"
    )


def _with_scalar_scale(found: Mapping[str, LazyTensor]) -> Mapping[str, LazyTensor]:
    """The tensors with the temperature as a number, which some writers keep as a vector of one."""
    scale = found.get("logit_scale")
    if scale is None or scale.shape != (1,):
        return found
    single = LazyTensor((), scale.dtype, lambda rows=None: scale.read().reshape(()))
    return {**found, "logit_scale": single}


def _hf(
    where: Path,
    found: Mapping[str, LazyTensor],
    modality: str | None,
    config: Mapping[str, Any] | None,
    beside: Mapping[str, Mapping[str, Any]],
    *,
    foreign_config: bool = False,
) -> Source:
    shapes = {name: tensor.shape for name, tensor in found.items()}
    if config is None:
        if foreign_config:
            raise errors.ConfigError(
                f"{where}: Hugging Face weights, and the config given is OpenCLIP's; give their "
                "config.json."
            )
        config = unconfigured.training_config(where, shapes, modality)
    kind = config.get("model_type")
    if kind == "clip":
        found = peft.with_all_layers(found)
        shapes = {name: tensor.shape for name, tensor in found.items()}
    if not isinstance(kind, str) or (kind != "clip" and kind not in languagebind.MODEL_TYPES):
        raise errors.CheckpointError(
            f"{where}: config.json has model_type {kind!r}; expected clip or "
            f"{', '.join(languagebind.MODEL_TYPES)}."
        )
    more = languagebind.DEFAULTS if kind in languagebind.MODEL_TYPES else None
    config = clip.resolved(config, where, more)
    native = languagebind.MODEL_TYPES.get(kind, "image")
    modality = _fitting(where, modality, native)
    factors = clip.factors(shapes, where)
    with fields.told_of(where):
        vision = languagebind.vision_config(config, modality, factors, where)
        _, text = clip.shapes_config(config, where)
    text_preprocess = texts.of_hf(beside, text.context, where) if kind == "clip" else {}
    prepared = pictures.of_hf(beside, vision.image_size[0], modality, where)
    base_layer = any(".base_layer." in name for name in found)
    table = (
        clip.peft_rules(vision.lora.targets, base_layer=base_layer) if vision.lora else clip.RULES
    )
    return _proven(
        Source(
            where=where,
            kind="CLIP" if kind == "clip" else "LanguageBind",
            modality=modality,
            vision=vision,
            text=text,
            preprocess=languagebind.preprocessing(config, modality, vision) | prepared,
            text_preprocess=text_preprocess,
            tensors=found,
            places=(),
            ignored=clip.IGNORED,
            origin={"config": dict(config), "base_layer": base_layer},
        ),
        table,
    )


def _open_clip(
    where: Path,
    found: Mapping[str, LazyTensor],
    modality: str | None,
    config: Mapping[str, Any] | None,
) -> Source:
    if config is None:
        raise _unknown_open_clip(where, {name: tensor.shape for name, tensor in found.items()})
    with fields.told_of(where):
        cfg = fields.as_object(config.get("model_cfg", config), f"{where}: model_cfg")
        vision, text = open_clip.towers(cfg, where)
    modality = _fitting(where, modality, "image")
    given = fields.section(config, "preprocess_cfg", where)
    preprocess = languagebind.preprocessing({}, modality, vision)
    preprocess |= pictures.of_open_clip(given, vision.image_size, modality, where)
    text_preprocess = texts.of_open_clip(cfg["text_cfg"], where)
    custom = any(name.startswith("text.") for name in found)
    return _proven(
        Source(
            where=where,
            kind="OpenCLIP",
            modality=modality,
            vision=vision,
            text=text,
            preprocess=preprocess,
            text_preprocess=text_preprocess,
            tensors=found,
            places=(),
            ignored=open_clip.IGNORED,
            origin={"config": dict(config), "custom_text": custom},
        ),
        open_clip.custom_text_rules() if custom else open_clip.RULES,
    )


def _open_adapter(path: Path, modality: str | None) -> Source:
    """PEFT factors over the base that their config names, as one wrapped model."""
    adapter = _read_config(path / peft.CONFIG)
    peft.require_plain(adapter, path)
    base = adapter.get("base_model_name_or_path")
    if not base:
        raise errors.CheckpointError(
            f"{path}: {peft.CONFIG} has no base_model_name_or_path; add the folder or hub "
            "name of the model it was trained on."
        )
    folder = hub.local(base)
    file = weights_file(folder)
    names = [name for name in _WEIGHTS if name.startswith("adapter") and (path / name).is_file()]
    if not names:
        raise errors.CheckpointError(f"{path}: no adapter_model.safetensors beside its config.")
    found, lora = peft.wrapped(
        path,
        tensors.state_dict(tensors.open_tensors(file), file),
        tensors.state_dict(tensors.open_tensors(path / names[0]), path / names[0]),
        adapter,
    )
    configs = _config_of(file, None)
    if CONFIG not in configs:
        raise errors.CheckpointError(
            f"{path}: its base {base} has no {CONFIG}; adapters go with Hugging Face models."
        )
    config = clip.resolved(configs[CONFIG], folder)
    config["vision_config"] = {**fields.section(config, "vision_config", folder), **lora}
    configs |= _read_beside(path, BESIDE)
    source = _hf(path, _with_scalar_scale(found), modality, config, configs)
    # PEFT since 0.7, which wrote the adapter, keeps the wrapped weights under `base_layer`
    return dataclasses.replace(
        source, origin={**source.origin, "base_layer": True}, files=(path, file)
    )


def _proven(source: Source, table: tuple[rules.Rule, ...]) -> Source:
    """The source with its places, once every tensor is accounted for."""
    with fields.told_of(source.where):
        shapes = leaf_shapes(source.modality, source.vision, source.text)
    places = tuple(rules.places(table, shapes))
    ignored = rules.prove(source.where, source.tensors, places, source.ignored)
    return dataclasses.replace(source, places=places, ignored=ignored)


@functools.lru_cache(maxsize=8)  # building the towers to see their shapes takes a tenth of a second
def leaf_shapes(
    modality: str, vision: VisionConfig, text: TextConfig
) -> Mapping[str, tuple[int, ...]]:
    """`vision/…`, `text/…`, `logit_scale` -> shape."""
    model = LanguageBind(ModelConfig({modality: vision}, text))
    towers = {"vision": model.shapes(modality), TEXT: model.shapes(TEXT)}
    leaves = {path: leaf.shape for path, leaf in paths.flatten(towers).items()}
    return {**leaves, "logit_scale": ()}


def _fitting(where: Path, wanted: str | None, native: str) -> str:
    """The modality to use; an image tower serves any, others only their own."""
    if wanted is None or wanted == native or native == "image":
        return wanted or native
    raise errors.ConfigError(
        f"{where}: weights for {native}, asked for as {wanted}; give them as "
        f'{{"{native}": …}} or choose the {wanted} model.'
    )


def _unknown_open_clip(where: Path, shapes: Mapping[str, tuple[int, ...]]) -> Exception:
    names = open_clip.guess(shapes)
    if not names:
        return errors.CheckpointError(
            f"{where}: OpenCLIP weights without {OPEN_CLIP_CONFIG}, of no published size; put the "
            "config beside them or give it as config."
        )
    choices = [f"{name}{ending}" for name in names for ending in ("", open_clip.QUICK)]
    openai = " These are OpenAI's: the latter." if set(open_clip.OPENAI) & set(shapes) else ""
    return errors.CheckpointError(
        f"{where}: OpenCLIP weights without {OPEN_CLIP_CONFIG} do not tell their activation; give "
        f"config={' or '.join(map(repr, choices))}.{openai}"
    )


def weights_file(path: Path) -> Path:
    """The file of weights that a folder holds, or the file itself."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise errors.CheckpointError(f"{path}: no such file or folder.")
    # a folder may hold both forms, each with its config
    hf = (path / CONFIG).is_file()
    order = sorted(_WEIGHTS, key=lambda name: name.startswith("open_clip") == hf)
    for name in order:
        if (path / name).is_file():
            return path / name
    checkpoint.require_finished(path)
    held = ", ".join(sorted(p.name for p in path.iterdir())[:6]) or "nothing"
    raise errors.CheckpointError(
        f"{path}: no weights; expected one of {', '.join(order)}, found {held}.{_hint(path)}"
    )


def _hint(folder: Path) -> str:
    """What to do with a folder that `lb-jax convert` wrote and that is not one source."""
    if any(folder.glob("*.stablehlo")):
        return (
            " These are programs for jax.export.deserialize, not a model to load; load what they "
            "were exported from."
        )
    configs = (CONFIG, OPEN_CLIP_CONFIG)
    inside = [n for n in MODALITIES if any((folder / n / one).is_file() for one in configs)]
    if inside:
        several = ", ".join(f'"{name}": "{folder / name}"' for name in inside)
        given = " ".join(f"{name}={folder / name}" for name in inside)
        return f" Each has its own: load {{{several}}}, or convert {given}."
    return ""


def _config_of(
    file: Path, given: str | Path | Mapping[str, Any] | None
) -> dict[str, Mapping[str, Any]]:
    """The configs that go with a file of weights: those given, else those beside it."""
    if given is None:
        return _read_beside(file.parent, (CONFIG, OPEN_CLIP_CONFIG, *BESIDE))
    beside: dict[str, Mapping[str, Any]] = {}
    if isinstance(given, Mapping):
        content = given
    elif Path(given).is_file():
        content, beside = _read_config(Path(given)), _read_beside(Path(given).parent, BESIDE)
    elif isinstance(given, str) and Path(given).name == given and not given.endswith(".json"):
        content = {"model_cfg": open_clip.model_cfg(given)}
    else:
        raise errors.ConfigError(
            f"config={given!r}: no such file; give a JSON file or the name of an OpenCLIP model."
        )
    is_open_clip = "model_cfg" in content or "vision_cfg" in content
    return {**beside, OPEN_CLIP_CONFIG if is_open_clip else CONFIG: content}


def _read_beside(folder: Path, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Those of some JSON files that a folder holds."""
    found = {name: folder / name for name in names if (folder / name).is_file()}
    whole = folder / texts.TOKENIZER  # holds the vocabulary too, among much else
    if texts.VOCABULARY in names and texts.VOCABULARY not in found and whole.is_file():
        found[texts.TOKENIZER] = whole
    return {name: _read_config(file) for name, file in found.items()}


def _read_config(file: Path) -> Mapping[str, Any]:
    return fields.as_object(checkpoint.read_json(file), file)

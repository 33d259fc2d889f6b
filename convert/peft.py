"""A folder that PEFT saved: factors only, over a base that `adapter_config.json` names.

What our towers have as factors, those of the attention in the vision encoder, stays factors; a
layer that the adapter leaves out has factors of zero. Everything else that an adapter changes is
folded into the weights of the base as they are read.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.convert import fields
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

CONFIG = "adapter_config.json"

# What is followed or does not change what the factors compute, and the values that switch an option
# off; anything else must be empty, false or 0.
_NEUTRAL = {
    *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
    *("revision", "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha"),
    *("lora_dropout", "layers_to_transform", "layers_pattern", "init_lora_weights"),
    *("rank_pattern", "alpha_pattern", "use_rslora", "bias", "modules_to_save"),
    *("megatron_core", "qalora_group_size", "eva_config", "runtime_config"),
}
# Beginnings of those ways to draw the factors that also change the base's weights.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")

_CHECKS = {
    "r": fields.whole(),
    "lora_alpha": fields.number(),
    "lora_dropout": fields.number(0.0, 1.0),
    "use_rslora": (lambda value: type(value) is bool, "true or false"),
    "bias": (lambda value: value in ("none", "all", "lora_only"), "none, all or lora_only"),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), fields.none_or(fields.OBJECT)),
}

_INSIDE = "base_model.model."  # what PEFT puts before the names inside what it wraps
_FACTOR = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")
_ENCODER, _WRAPPED = "vision_model.encoder.", f"vision_model.encoder.{_INSIDE}"
_ATTENTION = re.compile(r"vision_model\.encoder\.layers\.\d+\.(?:self_attn|temporal_attn)\.\w+")
# Beginnings of names inside a whole model; the parts of it that PEFT may wrap alone have others.
_WHOLE = ("vision_model.", "text_model.", "visual_projection", "text_projection", "logit_scale")
_TOWERS = {"Vision": "vision_model.", "Text": "text_model."}


def require_plain(config: Mapping[str, Any], where: Path) -> None:
    """Checks that the adapter is LoRA as Hu et al. have it.

    Raises:
      CheckpointError: naming what it is besides.
    """
    if config.get("peft_type") != "LORA":
        raise errors.CheckpointError(
            f"{where}: peft_type is {config.get('peft_type')!r}; expected LORA."
        )
    fields.require(
        [f"has no {name}" for name in ("r", "lora_alpha") if name not in config]
        + fields.problems(config, _CHECKS, ""),
        where,
    )
    changed = [f"{n} is {value!r}" for n, value in config.items() if n not in _NEUTRAL and value]
    start = config.get("init_lora_weights")
    if str(start).lower().startswith(_CHANGE_BASE):
        changed.append(f"init_lora_weights is {start!r}")
    if changed:
        raise errors.CheckpointError(
            f"{where}: {'; '.join(changed)}; the towers have plain LoRA. Merge the adapter with "
            "PEFT's merge_and_unload and convert the result."
        )


def wrapped(
    where: Path,
    base: Mapping[str, LazyTensor],
    adapter: Mapping[str, LazyTensor],
    config: Mapping[str, Any],
) -> tuple[dict[str, LazyTensor], dict[str, Any]]:
    """Base and adapter under the names of one saved model whose vision encoder is wrapped.

    Args:
      where: the adapter's folder.
      base: tensors of a whole CLIP by their names.
      adapter: tensors of the adapter.
      config: its `adapter_config.json`.

    Returns:
      The tensors, and `lora_r`, `lora_alpha` and `lora_dropout` of the factors among them; empty
      where all is folded.

    Raises:
      CheckpointError: for a tensor of the adapter that belongs nowhere.
    """
    base = dict(base)
    prefix = _prefix(where, base, adapter, config)
    pairs: dict[str, dict[str, LazyTensor]] = {}
    scales = {}
    for name, tensor in adapter.items():
        inside = name.replace(_INSIDE, "")
        hit = _FACTOR.fullmatch(inside)
        if hit is None:
            place = prefix + inside.replace(".base_layer.", ".")
            if place not in base or "lora_" in name:
                raise _strange(where, name)
            base[place] = tensor  # trained besides: `bias`, `modules_to_save`
            continue
        module = prefix + hit[1]
        if f"{module}.weight" not in base:
            raise _strange(where, name)
        pairs.setdefault(module, {})[hit[2]] = tensor
        scales[module] = _alpha(where, config, hit[1])
    attention = {}
    for module, pair in pairs.items():
        if alone := {"A", "B"} - set(pair):
            raise errors.CheckpointError(
                f"{where}: {module} has no lora_{alone.pop()}; save the adapter again."
            )
        rank = _require_factors(where, module, pair, base[f"{module}.weight"])
        scales[module] /= math.sqrt(rank) if config.get("use_rslora") else rank
        if _ATTENTION.fullmatch(module):
            attention[module] = pair
        else:
            kernel = f"{module}.weight"
            base[kernel] = _folded(base[kernel], pair, scales[module])
    factors, values = _alike(attention, scales, config)
    joined = {
        _WRAPPED + name.removeprefix(_ENCODER) if name.startswith(_ENCODER) else name: tensor
        for name, tensor in base.items()
    }
    if not factors:
        return base, {}
    return with_all_layers(joined | factors), values


def rewrapped(found: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """Names of a model that PEFT wraps whole, or its vision tower, as if its encoder alone."""
    plain = {name.replace(_INSIDE, ""): tensor for name, tensor in found.items()}
    if len(plain) < len(found) or not any(".lora_" in name for name in plain):
        return dict(found)
    return {
        _WRAPPED + name.removeprefix(_ENCODER) if name.startswith(_ENCODER) else name: tensor
        for name, tensor in plain.items()
    }


def with_all_layers(found: Mapping[str, LazyTensor]) -> dict[str, LazyTensor]:
    """The tensors, and factors of zero where a layer has none and others of its kind have."""
    begin = re.escape(_WRAPPED)
    layers = {hit[1] for name in found if (hit := re.match(rf"{begin}layers\.(\d+)\.", name))}
    kinds: dict[tuple[str, str], dict[str, LazyTensor]] = {}
    for name, tensor in found.items():
        if hit := re.fullmatch(
            rf"{begin}layers\.(\d+)\.(\w+\.\w+)\.lora_([AB])\.default\.weight", name
        ):
            kinds.setdefault((hit[1], hit[2]), {})[hit[3]] = tensor
    added = {}
    for projection in {projection for _, projection in kinds}:
        pair = next(one for (_, name), one in kinds.items() if name == projection)
        for layer in layers:
            if (layer, projection) in kinds or set(pair) != {"A", "B"}:
                continue
            at = f"{_WRAPPED}layers.{layer}.{projection}"
            for letter, tensor in pair.items():
                added[f"{at}.lora_{letter}.default.weight"] = _zeros(tensor)
            # only a layer that PEFT wrapped has its weights under `base_layer`
            for end in ("weight", "bias"):
                if f"{at}.{end}" in found and _is_wrapped(found, projection):
                    added[f"{at}.base_layer.{end}"] = found[f"{at}.{end}"]
    moved = {name.replace(".base_layer.", ".") for name in added if ".base_layer." in name}
    return {name: tensor for name, tensor in found.items() if name not in moved} | added


def _is_wrapped(found: Mapping[str, LazyTensor], projection: str) -> bool:
    return any(f".{projection}.base_layer." in name for name in found)


def _prefix(
    where: Path,
    base: Mapping[str, LazyTensor],
    adapter: Mapping[str, LazyTensor],
    config: Mapping[str, Any],
) -> str:
    """What the adapter's names lack of those of the whole model.

    Current transformers have no `vision_model.` in the names of a `CLIPVisionModel`, nor
    `text_model.` in those of a `CLIPTextModel`, which then look the same.
    """
    inside = [name.replace(_INSIDE, "") for name in adapter]
    if all(name.startswith(_WHOLE) for name in inside):
        return ""
    part = "encoder." if all(name.startswith("layers.") for name in inside) else ""
    mapping = config.get("auto_mapping")
    kind = str(mapping.get("base_model_class")) if isinstance(mapping, Mapping) else ""
    named = [tower + part for word, tower in _TOWERS.items() if word in kind]
    fitting = [tower + part for tower in _TOWERS.values() if _fits(tower + part, base, adapter)]
    choice = [one for one in named or fitting if one in fitting or named]
    if len(choice) == 1:
        return choice[0]
    if not choice:
        raise _strange(where, next(iter(adapter)))
    raise errors.CheckpointError(
        f"{where}: {next(iter(adapter))} may be in either tower; name the class that PEFT wrapped "
        f'in {CONFIG}: "auto_mapping": {{"base_model_class": "CLIPVisionModel"}}.'
    )


def _fits(prefix: str, base: Mapping[str, LazyTensor], adapter: Mapping[str, LazyTensor]) -> bool:
    """Whether the factors have the sizes of the layers of that name."""
    for name, tensor in adapter.items():
        hit = _FACTOR.fullmatch(name.replace(_INSIDE, ""))
        if hit is None:
            continue
        kernel = base.get(f"{prefix}{hit[1]}.weight")
        side = 1 if hit[2] == "A" else 0
        if kernel is None or len(kernel.shape) < 2 or len(tensor.shape) < 2:
            return False
        if kernel.shape[side] != tensor.shape[side]:
            return False
    return True


def _strange(where: Path, name: str) -> errors.CheckpointError:
    return errors.CheckpointError(
        f"{where}: {name}: expected lora_A and lora_B of layers of its base, a Hugging Face CLIP; "
        "merge the adapter with PEFT's merge_and_unload and convert the result."
    )


def _alpha(where: Path, config: Mapping[str, Any], module: str) -> float:
    """alpha of a layer, as PEFT finds it: the first pattern that ends the module's name."""
    for pattern, alpha in (config.get("alpha_pattern") or {}).items():
        try:
            hit = re.match(rf"(.*\.)?({pattern})$", module)
        except re.error as error:
            raise errors.CheckpointError(
                f"{where}: alpha_pattern {pattern!r} is no regular expression ({error})."
            ) from error
        if hit:
            fields.require(fields.problems({"a": alpha}, {"a": fields.number()}, "alpha_"), where)
            return float(alpha)
    return float(config["lora_alpha"])


def _require_factors(
    where: Path, module: str, pair: Mapping[str, LazyTensor], kernel: LazyTensor
) -> int:
    """The rank of two factors, which must be of the sizes of the layer."""
    a, b = pair["A"].shape, pair["B"].shape
    rows = kernel.shape[:1]
    if len(a) < 2 or len(b) < 2 or not a[0] or a[0] != b[1]:
        raise errors.CheckpointError(
            f"{where}: {module}: lora_A is {list(a)} and lora_B {list(b)}; LoRA factors are "
            "matrices of one rank: save the adapter again."
        )
    if a[1:] != kernel.shape[1:] or b[:1] != rows or math.prod(b[2:]) != 1:
        raise errors.CheckpointError(
            f"{where}: {module}: lora_A is {list(a)} and lora_B {list(b)}, the layer "
            f"{list(kernel.shape)}; use the base that the adapter was trained on."
        )
    return a[0]


def _alike(
    attention: Mapping[str, Mapping[str, LazyTensor]],
    scales: Mapping[str, float],
    config: Mapping[str, Any],
) -> tuple[dict[str, LazyTensor], dict[str, Any]]:
    """Factors of one rank and one scale that multiply to the same as those given."""
    if not attention:
        return {}, {}
    rank = max(pair["A"].shape[0] for pair in attention.values())
    scale = max(scales[module] for module in attention) or 1.0
    factors = {}
    for module, pair in attention.items():
        at = f"{_WRAPPED}{module.removeprefix(_ENCODER)}.lora_"
        factors[f"{at}A.default.weight"] = _padded(pair["A"], 0, rank, 1.0)
        factors[f"{at}B.default.weight"] = _padded(pair["B"], 1, rank, scales[module] / scale)
    alpha = round(scale * rank, 9)
    return factors, {
        "lora_r": rank,
        "lora_alpha": alpha if alpha / rank == scale else scale * rank,
        "lora_dropout": config.get("lora_dropout", 0.0),
    }


def _padded(tensor: LazyTensor, axis: int, size: int, factor: float) -> LazyTensor:
    """A matrix with zeros behind it along one axis, multiplied."""
    more = size - tensor.shape[axis]
    if not more and factor == 1.0:
        return tensor
    dtype = tensor.dtype if factor == 1.0 else np.promote_types(tensor.dtype, np.float32)
    shape = tuple(n + more * (k == axis) for k, n in enumerate(tensor.shape))

    def read() -> np.ndarray:
        numbers = tensor.read().astype(dtype) * dtype.type(factor)
        return np.pad(numbers, [(0, more * (k == axis)) for k in range(numbers.ndim)])

    return _made(shape, dtype, read)


def _folded(kernel: LazyTensor, pair: Mapping[str, LazyTensor], scale: float) -> LazyTensor:
    """W + scale B A, added in float32 and rounded once."""

    def read() -> np.ndarray:
        a, b = (pair[letter].read().astype(np.float32) for letter in "AB")
        product = b.reshape(len(b), -1) @ a.reshape(len(a), -1)
        total = kernel.read().astype(np.float32) + np.float32(scale) * product.reshape(kernel.shape)
        return total.astype(kernel.dtype)

    return _made(kernel.shape, kernel.dtype, read)


def _zeros(tensor: LazyTensor) -> LazyTensor:
    return _made(tensor.shape, tensor.dtype, lambda: np.zeros(tensor.shape, tensor.dtype))


def _made(shape: tuple[int, ...], dtype: np.dtype, read: Callable[[], np.ndarray]) -> LazyTensor:
    """A tensor that is computed when it is read."""
    return LazyTensor(
        shape,
        np.dtype(dtype),
        lambda rows=None: np.ascontiguousarray(read() if rows is None else read()[rows]),
    )

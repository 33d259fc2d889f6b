"""A folder that PEFT saved: factors only, over a base that `adapter_config.json` names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

CONFIG = "adapter_config.json"

# Options that change what the factors compute; with the value that switches each off.
_OFF = {
    "use_rslora": False,
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
    "lora_bias": False,
    "layer_replication": None,
}

# The factors of a wrapped CLIPModel, or of its vision encoder alone.
_FACTOR = re.compile(
    r"base_model\.model\.(?:vision_model\.encoder\.)?"
    r"(layers\.\d+\..+\.lora_[AB])(?:\.default)?\.weight"
)
_ENCODER = "vision_model.encoder."
_WRAPPED = "vision_model.encoder.base_model.model."


def require_plain(config: Mapping[str, Any], where: Path) -> None:
    """Checks that the adapter is LoRA as Hu et al. have it.

    Raises:
      CheckpointError: naming what it is besides.
    """
    if config.get("peft_type") != "LORA":
        raise errors.CheckpointError(
            f"{where}: peft_type is {config.get('peft_type')!r}; expected LORA."
        )
    for name, off in _OFF.items():
        if config.get(name, off) != off and config[name]:
            raise errors.CheckpointError(
                f"{where}: {name} is {config[name]!r}; the towers have plain LoRA. Merge the "
                "adapter with PEFT's merge_and_unload and convert the result."
            )


def wrapped(
    where: Path, base: Mapping[str, LazyTensor], factors: Mapping[str, LazyTensor]
) -> dict[str, LazyTensor]:
    """Base and factors under the names of one saved model whose vision encoder is wrapped.

    Raises:
      CheckpointError: for factors outside the vision encoder.
    """
    joined = {
        _WRAPPED + name.removeprefix(_ENCODER) if name.startswith(_ENCODER) else name: tensor
        for name, tensor in base.items()
    }
    for name, tensor in factors.items():
        hit = _FACTOR.fullmatch(name)
        if hit is None or "text_model" in name:
            raise errors.CheckpointError(
                f"{where}: {name}: factors are expected in the vision encoder only; merge the "
                "adapter with PEFT's merge_and_unload and convert the result."
            )
        joined[f"{_WRAPPED}{hit[1]}.default.weight"] = tensor
    return joined

"""Low-rank adaptation in the form PEFT stores it: W + (alpha / rank) A B.

Hu et al. 2021, arXiv 2106.09685, equation 3.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from lb_jax.core import paths


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """LoRA of one tower.

    Attributes:
      rank: inner size r of the factors.
      alpha: numerator of the scale alpha / rank.
      dropout: dropped share of the adapter's input while training.
      targets: regex on module paths inside the tower; the linear layers it matches whole carry
        factors.
    """

    rank: int
    alpha: float = 16.0
    dropout: float = 0.0
    targets: str = r"blocks/attn/(q|k|v|out)_proj"

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank

    def at(self, path: str) -> "LoraConfig | None":
        """The config for the linear layer at `path`, or None where it carries no factors."""
        return self if re.fullmatch(self.targets, path) else None


def merge_lora(tower: Mapping[str, Any], lora: LoraConfig, dtype: Any = None) -> paths.Tree:
    """Folds the factors into the kernels.

    kernel [..., i, o] + scale * lora_a [..., i, r] @ lora_b [..., r, o].

    The sum is taken in float32 and rounded once, to `dtype` or that of the kernel. The result has
    no factors left and computes the same function with `lora=None`.
    """
    flat = paths.flatten(tower)
    for path in [p for p in flat if p.endswith("/lora_a")]:
        layer = path.removesuffix("/lora_a")
        a, b = flat.pop(path), flat.pop(f"{layer}/lora_b")
        kernel = flat[f"{layer}/kernel"]
        merged = kernel.astype("float32") + lora.scale * (a.astype("float32") @ b.astype("float32"))
        flat[f"{layer}/kernel"] = merged.astype(dtype or kernel.dtype)
    return paths.unflatten(flat)

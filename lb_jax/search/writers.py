"""Who writes captions: a model and how it chooses words; other ones may write other words."""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from lb_jax.search.captions import Captioner

if TYPE_CHECKING:
    from lb_jax.inference.valor import ValorModel
    from lb_jax.models.generation import Decoding


def captioner_of(model: "ValorModel", decoding: "Decoding") -> Captioner:
    """What a store says of who wrote its captions."""
    digest, dtype, *options = _facts(model, decoding).values()
    told = digest, dtype, tuple(options)
    return Captioner(hashlib.sha256(repr(told).encode()).hexdigest(), model.source)


def line_of(model: "ValorModel", decoding: "Decoding", group: str | None) -> str:
    """What a row of a file says of who wrote it.

    Args:
      model: that writes.
      decoding: how it chooses words.
      group: that all is written from; None takes of each file what it has.
    """
    facts = _facts(model, decoding)
    digest, dtype, _ = (facts.pop(one) for one in ("model", "dtype", "temperature"))
    told = {"model": digest[:16], "dtype": dtype, "group": group or "any", **facts}
    return " ".join(f"{name}={value}" for name, value in told.items())


def _facts(model: "ValorModel", decoding: "Decoding") -> dict[str, Any]:
    """Model and dtype, then the options in their order."""
    dtype = np.dtype(model.dtype).name
    return {"model": model.digest, "dtype": dtype, **dataclasses.asdict(decoding)}

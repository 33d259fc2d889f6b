"""Whether a calibration fits what a store holds, told by its vectors and kept with them.

`bulk.fill` and `upgrade` look when files were embedded. A store that was not looked at, or with
another calibration, or that has grown or shrunk by half since, is looked at when it is searched. A
medium that asks is looked at by itself, whatever the store holds.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lb_jax.core import errors, shipped
from lb_jax.core.modalities import MODALITIES
from lb_jax.evaluation import familiar

if TYPE_CHECKING:
    from lb_jax.evaluation.calibrations import Calibrations
    from lb_jax.inference.encoder import Encoder
    from lb_jax.search.store import Store

LOOKED_AT = 2048  # rows of a modality
GROWN = 2.0  # since it was looked at, after which it is again


class Calibrated(Protocol):
    """What is asked of a model, or of what a server knows about one."""

    @property
    def source(self) -> str:
        """What it was loaded from."""
        ...

    @property
    def calibration(self) -> "Calibrations":
        """Its calibration; a `ConfigError` where it has none."""
        ...


def keep(store: "Store", model: "Encoder") -> str | None:
    """Looks at a store and keeps what was found with it.

    Args:
      store: of vectors that `model` made.
      model: gives the calibration; nothing is kept without one.

    Returns:
      why searches tell no probability; None where they do, or nothing is known.
    """
    try:
        found = model.calibration
    except errors.LbJaxError:  # one that is damaged is told of when it is searched with
        return None
    told = _look(store, found)
    if told != json.loads(store.fit or "null"):
        store.keep_fit(json.dumps(told))
    return reason(told, store.maker.source)


def withheld(store: "Store", model: "Encoder") -> dict[str, str]:
    """Modality -> why no probability of it is told; those where it is, or nothing is known, lack.

    Args:
      store: of vectors that `model` made.
      model: gives the calibration.
    """
    try:
        found = model.calibration
    except errors.ConfigError:  # it has none
        return {}
    if not found.usual:  # a calibration of before there was `usual`
        return {}
    told = _told(store, found)
    if told is None:
        told = _look(store, found)
        store.fit = json.dumps(told)  # of this opened store alone: who searches changes nothing
    why = reason(told, store.maker.source)
    names = familiar.withheld(told["modalities"], MODALITIES)
    return {} if why is None else dict.fromkeys(names, why)


def unlike(model: Calibrated, vectors: Mapping[str, np.ndarray]) -> str | None:
    """Why media that ask, or are compared, get no probability; None where they may.

    Args:
      model: gives the calibration.
      vectors: of the media by modality, unit [n, e]; of text nothing is known.
    """
    try:
        calibration = model.calibration
    except errors.ConfigError:  # it has none
        return None
    if not calibration.usual.keys() & vectors.keys():
        return None
    found = familiar.told(calibration.outside(vectors))
    return None if found is None else f"{found}; {shipped.advice(model.source)}"


def reason(told: dict, source: str) -> str | None:
    """Why no probability is told, of what `Store.fit` holds; None where it is."""
    found = familiar.told(told["modalities"])
    return None if found is None else f"{found}; {shipped.advice(source)}"


def line(told: dict | None, source: str) -> str | None:
    """What `Store.fit` holds, in words; None where nothing is known."""
    if told is None or not told["modalities"]:
        return None
    if (found := reason(told, source)) is not None:
        return f"no probabilities: {found}"
    known = (f"{all_ - out} of {all_} {name}" for name, (out, all_) in told["modalities"].items())
    return f"probabilities: the calibration fits {', '.join(known)} vectors"


def is_grouped(found: Sequence[Any]) -> bool:
    """Whether moments stand in blocks by modality, between which scores do not compare."""
    several = len({moment.modality for moment in found}) > 1
    return several and any(moment.probability is None for moment in found)


def _look(store: "Store", found: "Calibrations") -> dict:
    """`{"calibration": name, "rows": of the store, "modalities": {name: [outside, looked at]}}`."""
    vectors = {name: store.sample(name, LOOKED_AT) for name in sorted(found.usual)}
    looked = {name: list(count) for name, count in found.outside(vectors).items()}
    return {"calibration": found.name, "rows": len(store), "modalities": looked}


def _told(store: "Store", found: "Calibrations") -> dict | None:
    """What is kept, if it is of this calibration and about these rows."""
    told = json.loads(store.fit or "null")
    if told is None or told["calibration"] != found.name:
        return None
    rows = sorted((told["rows"], len(store)))
    return told if rows[1] <= GROWN * rows[0] else None

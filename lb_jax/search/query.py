"""Asking a store: a vector of whatever the user has, and the moments that are nearest to it."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation import calibrations
from lb_jax.inference import probability as probability_lib
from lb_jax.media import preprocess
from lb_jax.media import settings as settings_lib
from lb_jax.search import filters, fits, maker, rows
from lb_jax.search import store as store_lib

if TYPE_CHECKING:
    from lb_jax.evaluation.metrics.calibration import Calibration
    from lb_jax.inference.api import Model

WINDOWS_A_MOMENT = 8  # looked at for each moment asked for, as several make one
MOST_WINDOWS = 4096  # looked at when few long moments take them all
TOUCH_S = 0.01  # windows with less between them touch; times are those of frames and samples


@dataclasses.dataclass(frozen=True)
class Moment:
    """A still, or a time range of a file, that was found.

    Attributes:
      path: of the file.
      modality: what the file was read as.
      start_s: where the range starts; None for a still.
      end_s: where it ends; None for a still.
      cosine: of the best window in the range.
      probability: that it matches, of the best window; None without a calibration of the pair, or
        where it is withheld.
      withheld: why it is: the calibration does not fit what the store holds, or the file that asks.
    """

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    cosine: float
    probability: float | None = None
    withheld: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What `json` takes."""
        return dataclasses.asdict(self)


def query_vector(
    model: "Model",
    text: str | None = None,
    files: Mapping[str, str | os.PathLike[str] | bytes] | None = None,
    weights: Mapping[str, float] | None = None,
    settings: settings_lib.Settings = settings_lib.NOTHING,
) -> np.ndarray:
    """One vector of a text, of files, or of both: float32 `[e]`, of length 1.

    Each part becomes a unit vector of its own. The answer is the sum of weight times vector over
    the parts, divided by its length (`model.fuse`). A part without a weight has weight 1, so only
    the ratio of weights counts, and a negative one asks for what is unlike the part.

    Args:
      model: made the vectors of the store.
      text: a sentence.
      files: a file, as a path or its bytes, by the modality it is read as.
      weights: by modality, "text" included.
      settings: of the files, where they are others than the model was loaded with.

    Raises:
      ConfigError: for no parts, a weight without its part or that is not finite, parts that cancel,
        and a modality that the model lacks.
      DataError: for a text or file that cannot be read.
    """
    parts = {} if text is None else {TEXT: text}
    parts.update(files or {})
    if not parts:
        raise errors.ConfigError("a query needs a text, a file or both; give one.")
    given = dict(weights or {})
    for name, weight in given.items():
        if name not in parts:
            raise errors.ConfigError(
                f"a weight is given for {name!r}, which is no part of the query; it has "
                f"{', '.join(parts)}.{errors.nearest(name, parts)}"
            )
        if not np.isfinite(weight):
            raise errors.ConfigError(f"the weight of {name} is {weight}; it must be finite.")
    specs = settings.apply(model.specs, str(model.source)) if settings else {}
    vectors = {
        name: model.encode(name, preprocess.preprocess(name, [item], specs[name]))
        if name in specs and name != TEXT
        else model.embed(name, [item])
        for name, item in parts.items()
    }
    if len(vectors) == 1 and not given:
        (only,) = vectors.values()
        return only[0]
    return model.fuse(vectors, {name: float(given.get(name, 1.0)) for name in vectors})[0]


def find(
    store: store_lib.Store,
    model: "Model",
    vector: np.ndarray,
    k: int = 10,
    where: filters.Filter = filters.EVERYTHING,
    *,
    merge: bool = True,
    asked: str | None = TEXT,
    exact: bool = False,
) -> list[Moment]:
    """The `k` moments nearest to a vector, best first; or blocks of them.

    Each modality is searched for itself, as cosines of different ones do not compare. The ranking
    is by calibrated probability where the model has the curve of every modality that was found with
    the one that asks, and the calibration fits both (`fits`). Otherwise it is by cosine, and
    moments of several modalities stand in blocks, that of the highest cosine first; the blocks
    share the `k` places. Equal ones are in order of path, modality and time.

    Args:
      store: of vectors that `model` made.
      model: gives the calibration.
      vector: [e], as `query_vector` gives it.
      k: how many; fewer when the store has not so many.
      where: which rows to look at.
      merge: make one range of neighbouring windows, see `merged`.
      asked: modality of the query; None for a mix, of which there is no calibration.
      exact: compare every row, whether there is an index or not.

    Raises:
      ConfigError: for a vector of another width, or k below 1.
      DataError: when the store is of another model.
    """
    if model.digest != store.maker.digest:
        given = dataclasses.replace(store.maker, source=model.source, digest=model.digest)
        other = store.maker.source != model.source
        search = f"search it with --model {store.maker.source}, or " if other else ""
        raise errors.DataError(
            store.uri,
            f"{maker.differing(store.maker, given)}; {search}embed its files anew with `lb-jax "
            f"index upgrade {store.uri} --model {model.source}`.",
        )
    modalities = where.modalities or model.modalities
    curves = _curves(model, asked, modalities)
    withheld = _withheld(store, model, vector, asked, curves) if curves else {}
    blocks: list[list[Moment]] = []
    for modality in dict.fromkeys(modalities):
        one = dataclasses.replace(where, modalities=(modality,))
        moments = _nearest(store, vector, k, one, merge=merge, exact=exact)
        curve = curves.get(modality)
        if curve is not None and modality in withheld:
            reason = withheld[modality]
            moments = [dataclasses.replace(moment, withheld=reason) for moment in moments]
        elif curve is not None and moments:
            cosines = np.array([moment.cosine for moment in moments])
            moments = [
                dataclasses.replace(moment, probability=float(probability))
                for moment, probability in zip(moments, curve.probability(cosines), strict=True)
            ]
        blocks.append(sorted(moments, key=_order))
    found = [moment for block in blocks for moment in block]
    if all(moment.probability is not None for moment in found):
        return sorted(found, key=_order)[:k]
    blocks = sorted(filter(None, blocks), key=lambda block: _order(block[0]))
    turns = sorted((turn, i) for i, block in enumerate(blocks) for turn in range(len(block)))
    shares = collections.Counter(i for _, i in turns[:k])
    return [moment for i, block in enumerate(blocks) for moment in block[: shares[i]]]


def _order(moment: Moment) -> tuple[Any, ...]:
    """The best first: by probability, as far as there is one, and by cosine."""
    score = (moment.probability or 0.0, moment.cosine)
    return (*(-one for one in score), moment.path, moment.modality, moment.start_s or 0.0)


def merged(hits: Sequence[rows.Hit], weakest: float) -> list[Moment]:
    """Makes one range of windows of a file that overlap or touch: best first.

    Windows are taken from the best down. One that meets a range found before joins it when it
    scores at least half way from the weakest window there is up to the best of the range; so a
    whole file does not become one range where a store is so small that all of it is found. If it
    does not join, one that overlaps the range is left out, as the range shows its time with a
    better score; one that only touches it stands for itself. Stills stay as they are.

    Args:
      hits: of one modality, best first.
      weakest: the lowest cosine of all windows that were searched, found or not.
    """
    by_file: dict[str, list[Moment]] = {}
    for hit in hits:
        moment = Moment(hit.path, hit.modality, hit.start_s, hit.end_s, hit.cosine)
        ranges = by_file.setdefault(hit.path, [])
        if hit.start_s is None:
            ranges.append(moment)
            continue
        near = [r for r in ranges if _gap_s(hit, r) < TOUCH_S]
        joins = [r for r in near if 2 * hit.cosine >= r.cosine + weakest]
        overlaps = any(_gap_s(hit, r) < -TOUCH_S for r in near)
        if joins:
            whole = dataclasses.replace(
                joins[0],
                start_s=min(hit.start_s, *(r.start_s for r in joins)),
                end_s=max(hit.end_s, *(r.end_s for r in joins)),
                cosine=max(r.cosine for r in joins),
            )
            by_file[hit.path] = [whole, *(r for r in ranges if r not in joins)]
        elif not overlaps:
            ranges.append(moment)
    found = [moment for ranges in by_file.values() for moment in ranges]
    return sorted(found, key=lambda one: (-one.cosine, one.path, one.start_s or 0.0))


def _gap_s(hit: rows.Hit, other: Moment) -> float:
    """Seconds between a window and a range; below 0 where they overlap."""
    return max(hit.start_s - other.end_s, other.start_s - hit.end_s)


def _nearest(
    store: store_lib.Store,
    vector: np.ndarray,
    k: int,
    where: filters.Filter,
    *,
    merge: bool,
    exact: bool,
) -> list[Moment]:
    """The `k` best moments of one modality."""
    if not merge:
        hits = store.search(vector, k, where, exact=exact)
        return [Moment(h.path, h.modality, h.start_s, h.end_s, h.cosine) for h in hits]
    count, weakest = WINDOWS_A_MOMENT * k, None
    while True:
        hits = store.search(vector, count, where, exact=exact)
        if len(hits) < count:  # these are all
            weakest = min((hit.cosine for hit in hits), default=0.0)
        elif weakest is None:  # the nearest to the opposite
            weakest = -store.search(-vector, 1, where, exact=exact)[0].cosine
        moments = merged(hits, weakest)
        if len(moments) >= k or len(hits) < count or count >= MOST_WINDOWS:
            return moments[:k]
        count *= 2


def _withheld(
    store: store_lib.Store,
    model: "Model",
    vector: np.ndarray,
    asked: str | None,
    curves: Mapping[str, "Calibration"],
) -> dict[str, str]:
    """Modality -> why no probability of it is told, for what asks or for what the store holds."""
    foreign = asked and fits.unlike(model, {asked: vector[None]})
    return dict.fromkeys(curves, foreign) if foreign else fits.withheld(store, model)


def uncalibrated(model: "Model", asked: str, modalities: Sequence[str]) -> str | None:
    """Why nothing that was found has a probability, where the model has no curve for it.

    Args:
      model: gives the calibration.
      asked: modality of the query.
      modalities: of what was found.

    Returns:
      the reason, and the command that fits a calibration; None where there is one of them all.
    """
    try:
        for modality in modalities:
            probability_lib.curve(model.calibration, modality, asked)
    except errors.ConfigError as problem:
        return str(problem)
    return None


def _curves(
    model: "Model", asked: str | None, modalities: Sequence[str]
) -> dict[str, "Calibration"]:
    """The curve of each modality with the one that asks, where the model has it."""
    if asked is None:
        return {}
    try:
        found = model.calibration.pairs
    except errors.ConfigError:  # it has none
        return {}
    keys = {modality: calibrations.key(modality, asked) for modality in modalities}
    return {modality: found[key].curve for modality, key in keys.items() if key in found}

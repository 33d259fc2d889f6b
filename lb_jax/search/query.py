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
from lb_jax.search import filters, fits, fusion, maker, ranking, spoken
from lb_jax.search import store as store_lib
from lb_jax.search.moments import Moment, merged

if TYPE_CHECKING:
    from lb_jax.evaluation.metrics.calibration import Calibration
    from lb_jax.inference.encoder import Encoder

WINDOWS_A_MOMENT = 8  # looked at for each moment asked for, as several make one
MOST_WINDOWS = 4096  # looked at when few long moments take them all
DEEPEST = 50  # moments of each ranking that two are made one of, at least


def query_vector(
    model: "Encoder",
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
    model: "Encoder",
    vector: np.ndarray,
    k: int = 10,
    where: filters.Filter = filters.EVERYTHING,
    *,
    merge: bool = True,
    asked: str | None = TEXT,
    exact: bool = False,
    words: str | None = None,
    by: str = ranking.VECTOR,
) -> list[Moment]:
    """The `k` moments nearest to a vector, best first; or blocks of them.

    Each modality is searched for itself, as cosines of different ones do not compare. The ranking
    is by calibrated probability where the model has the curve of every modality that was found with
    the one that asks, and the calibration fits both (`fits`). Otherwise it is by cosine, and
    moments of several modalities stand in blocks, that of the highest cosine first; the blocks
    share the `k` places. Equal ones are in order of path, modality and time.

    By "both", the captions of the store are searched for words, and the two rankings are made one
    (`fusion`): of all modalities, or in each block. Cosine and probability are those of the vector.

    Args:
      store: of vectors that `model` made.
      model: gives the calibration.
      vector: [e], as `query_vector` gives it.
      k: how many; fewer when the store has not so many.
      where: which rows to look at.
      merge: make one range of neighbouring windows, see `merged`.
      asked: modality of the query; None for a mix, of which there is no calibration.
      exact: compare every row, whether there is an index or not.
      words: to look for in captions; not looked at where `by` is "vector".
      by: "vector", "caption" or "both", one of `ranking.BY`.

    Raises:
      ConfigError: for a vector of another width, k below 1, or no words where captions are asked.
      DataError: when the store is of another model, or has no captions where they are asked.
    """
    if model.digest != store.maker.digest:
        given = dataclasses.replace(
            store.maker,
            source=model.source,
            digest=model.digest,
            family=maker.family_of(model),
            space=getattr(model, "space", None) or "",
        )
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
    said: list[Moment] = []
    if by != ranking.VECTOR:
        asking = dataclasses.replace(where, modalities=tuple(modalities))
        said = spoken.find(store, vector, words, max(k, DEEPEST), asking)
    near: list[Moment] = []
    for modality in dict.fromkeys(modalities if by != ranking.CAPTION else ()):
        one = dataclasses.replace(where, modalities=(modality,))
        deep = k if by == ranking.VECTOR else max(k, DEEPEST)
        near += _nearest(store, vector, deep, one, merge=merge, exact=exact)
    near, said = (_likely(some, curves, withheld) for some in (near, said))
    if all(moment.probability is not None for moment in (*near, *said)):
        groups = [None]
    else:
        groups = list(dict.fromkeys(modalities))
    blocks = []
    for group in groups:
        block = sorted((one for one in near if group in (None, one.modality)), key=_order)
        if by != ranking.VECTOR:
            heard = [one for one in said if group in (None, one.modality)]
            block = fusion.fused(block, heard, _order, merge=merge)
        blocks.append(block)
    blocks = sorted(filter(None, blocks), key=lambda block: min(map(_order, block)))
    turns = sorted((turn, i) for i, block in enumerate(blocks) for turn in range(len(block)))
    shares = collections.Counter(i for _, i in turns[:k])
    found = [moment for i, block in enumerate(blocks) for moment in block[: shares[i]]]
    return spoken.with_captions(store, found)


def _likely(
    moments: Sequence[Moment], curves: Mapping[str, "Calibration"], withheld: Mapping[str, str]
) -> list[Moment]:
    """The same with their probabilities, or why there are none."""
    found = list(moments)
    for modality, curve in curves.items():
        places = [place for place, one in enumerate(found) if one.modality == modality]
        if not places:
            continue
        shares = curve.probability(np.array([found[place].cosine for place in places]))
        for place, share in zip(places, shares, strict=True):
            if modality in withheld:
                told = {"withheld": withheld[modality]}
            else:
                told = {"probability": float(share)}
            found[place] = dataclasses.replace(found[place], **told)
    return found


def _order(moment: Moment) -> tuple[Any, ...]:
    """The best first: by probability, as far as there is one, and by cosine."""
    score = (moment.probability or 0.0, moment.cosine)
    return (*(-one for one in score), moment.path, moment.modality, moment.start_s or 0.0)


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
        return [Moment.of(hit) for hit in store.search(vector, k, where, exact=exact)]
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
    model: "Encoder",
    vector: np.ndarray,
    asked: str | None,
    curves: Mapping[str, "Calibration"],
) -> dict[str, str]:
    """Modality -> why no probability of it is told, for what asks or for what the store holds."""
    foreign = asked and fits.unlike(model, {asked: vector[None]})
    return dict.fromkeys(curves, foreign) if foreign else fits.withheld(store, model)


def uncalibrated(model: "Encoder", asked: str, modalities: Sequence[str]) -> str | None:
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
    model: "Encoder", asked: str | None, modalities: Sequence[str]
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

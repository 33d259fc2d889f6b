"""Curves from similarity to probability for every pair of modalities, and the file they lie in.

A calibration is fitted to one half of the items of a labelled corpus and measured on the other.
What is divided are items, not pairs: a pair of the second half shares no item with the first. Own
data are divided by their captions, so that it shares no caption either.

    calibration.json  {"format", "model": digest, "data": {"corpus", "split", "items", "digest"},
                       "pairs": {"audio,text": {"scale", "bias", "n", "items", "held_out_items",
                       "calibration_error", "accuracy"}},
                       "usual": {"audio": {"vectors": base64, "items", "held_out_items", "near"}}};
                       files of before there was "usual" have none
"""

import base64
import dataclasses
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.core import checkpoint, errors
from lb_jax.core.modalities import TEXT
from lb_jax.core.words import counted
from lb_jax.evaluation import evaluate, familiar, labelled
from lb_jax.evaluation.metrics import calibration

FORMAT = "lb_jax-calibration-1"
AT_LEAST = 16  # items of a half; fewer draw a curve that the next few would draw otherwise
AT_MOST = 256  # other items that each item is held against; all of them in smaller halves


@dataclasses.dataclass(frozen=True)
class Pair:
    """The curve of two modalities, and how it does on items that it was not fitted to.

    Attributes:
      curve: the fitted curve.
      items: of the half it was fitted to.
      held_out_items: of the other half.
      calibration_error: of the other half, from 0 to 1, see `calibration.calibration_error`.
      accuracy: share of the other half's pairs on the right side of the threshold, matching and
        other pairs each counting one half.
    """

    curve: calibration.Calibration
    items: int
    held_out_items: int
    calibration_error: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Calibrations:
    """What `calibration.json` holds.

    Attributes:
      model: digest of the model whose vectors were compared.
      data: what it was fitted to: `{"corpus", "split", "items", "digest"}`.
      pairs: `key` of two modalities -> their curve.
      usual: modality -> what is usual among the items; none of a modality that cannot be told of.
    """

    model: str
    data: dict[str, Any]
    pairs: dict[str, Pair]
    usual: dict[str, familiar.Usual] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def name(self) -> str:
        """Equal for calibrations by which the same media are usual, 16 hex digits."""
        told = [(name, one.vectors, one.near) for name, one in sorted(self.usual.items())]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def outside(self, vectors: Mapping[str, np.ndarray]) -> dict[str, tuple[int, int]]:
        """How many of some media are unlike the usual: modality -> (outside, all).

        Args:
          vectors: by modality, unit vectors [n, e]; those of which nothing is known are left out.
        """
        return {
            name: (self.usual[name].outside(rows), len(rows))
            for name, rows in vectors.items()
            if name in self.usual and len(rows)
        }


def key(one: str, other: str) -> str:
    """The name of a pair of modalities, whichever comes first: "audio,text"."""
    return ",".join(sorted((one, other)))


def fit(split: evaluate.Embedded) -> tuple[dict[str, Pair], dict[str, str]]:
    """Fits every modality against text, and all modalities that share items against each other.

    A matching pair is an item and its own caption, or two modalities of an item. Another pair is of
    two items whose captions are not the same word for word.

    Args:
      split: items and captions as vectors.

    Returns:
      (key -> curve, key -> why there is none).

    Raises:
      DataError: no pair has a curve.
    """
    found, left_out = {}, {}
    texts = {name: dict(zip(split.ids[name], split.texts(name), strict=True)) for name in split.ids}
    rows = {
        name: dict(zip(split.ids[name], split.embeddings[name], strict=True)) for name in split.ids
    }
    for name in split.ids:
        spoken = dict(zip(split.ids[name], split.captions[name], strict=True))
        _add(name, TEXT, rows[name], spoken, [texts[name]], split.corpus, found, left_out)
    for one, other in itertools.combinations(split.ids, 2):
        if rows[one].keys() & rows[other].keys():
            both = [texts[one], texts[other]]
            _add(one, other, rows[one], rows[other], both, split.corpus, found, left_out)
    if not found:
        reason = next(iter(left_out.values()))
        raise errors.DataError(split.corpus.root, f"nothing to calibrate with: {reason}")
    return found, left_out


def _add(
    one: str,
    other: str,
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    texts: Sequence[Mapping[str, str]],
    corpus: labelled.Labelled,
    found: dict[str, Pair],
    left_out: dict[str, str],
) -> None:
    """Fits one pair and files it under what was found or what was left out."""
    halves: tuple[list[str], list[str]] = ([], [])
    for id_ in sorted(a.keys() & b.keys(), key=familiar.digest_of):
        halves[familiar.digest_of(corpus.half(id_))[0] & 1].append(id_)
    first, second = halves
    if min(map(len, halves)) < AT_LEAST:
        left_out[key(one, other)] = (
            f"{len(first)} and {counted(len(second), 'item')} in the two halves, expected at least "
            f"{AT_LEAST} in each; give {3 * AT_LEAST} items of unlike captions, or more"
        )
        return
    try:
        curve = calibration.fit(*_similarities(first, a, b, texts))
        error, accuracy = calibration.held_out(curve, *_similarities(second, a, b, texts))
    except errors.DataError as problem:
        left_out[key(one, other)] = problem.reason
        return
    found[key(one, other)] = Pair(curve, len(first), len(second), error, accuracy)


def _similarities(
    ids: Sequence[str],
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    texts: Sequence[Mapping[str, str]],
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the matching pairs `[n]` and of the others `[m]`.

    Each item is held against those that follow it. The order is that of the hash, so where
    `AT_MOST` cuts it, what is left was drawn by chance.
    """
    left, right = (np.stack([rows[id_] for id_ in ids]).astype(np.float64) for rows in (a, b))
    words = np.stack(
        [np.unique([one[id_] for id_ in ids], return_inverse=True)[1] for one in texts], axis=1
    )  # [n, kinds of caption], equal numbers for equal sentences
    others = [
        np.einsum("ne,ne->n", left, np.roll(right, -shift, axis=0))[
            (words != np.roll(words, -shift, axis=0)).all(axis=1)
        ]
        for shift in range(1, min(len(ids), AT_MOST + 1))
    ]
    return np.einsum("ne,ne->n", left, right), np.concatenate(others)


def usual_of(*splits: evaluate.Embedded) -> dict[str, familiar.Usual]:
    """What is usual in all splits of a corpus together, by modality.

    Of one split alone it would not be: the test items of the demo are combinations that training
    has not, and of its training clips 82 % would be outside.

    Args:
      *splits: whose first `familiar.AT_MOST` items, in the order of their hash, are taken.
    """
    items: dict[str, dict[str, np.ndarray]] = {}
    for split in splits:
        for name, ids in split.ids.items():
            vectors = dict(zip(ids, split.embeddings[name], strict=True))
            drawn = sorted(vectors, key=familiar.digest_of)[: familiar.AT_MOST]
            items.setdefault(name, {}).update({id_: vectors[id_] for id_ in drawn})
    found = {name: familiar.fit(of_name) for name, of_name in items.items()}
    return {name: one for name, one in found.items() if one is not None}


def describe(corpus: labelled.Labelled, split: str) -> dict[str, Any]:
    """Which data a calibration was fitted to; the digest is of the items and their captions."""
    told = json.dumps([corpus.ids, corpus.captions], sort_keys=True)
    halves = {"halves": labelled.HALVES} if corpus.by_caption else {}
    return {
        "corpus": corpus.root.resolve().name,
        "split": split,
        "items": len(corpus.ids),
        "digest": hashlib.sha256(told.encode()).hexdigest(),
        **halves,
    }


def write(folder: Path, found: Calibrations) -> Path:
    """Writes `calibration.json` into a checkpoint; the file is either the old or the new one.

    Raises:
      CheckpointError: when the disk does not take it.
    """
    path = Path(folder) / checkpoint.CALIBRATION
    pairs = {}
    for name, pair in found.pairs.items():
        row = dataclasses.asdict(pair)
        pairs[name] = row.pop("curve") | row
    try:
        told = {"model": found.model, "data": found.data, "pairs": pairs}
        kept = {name: _packed(one) for name, one in found.usual.items()}
        checkpoint.write_json(path, {"format": FORMAT, **told, "usual": kept})
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be written ({error.strerror or error}); what was there is as it was. "
            "Make room or copy the checkpoint to another place."
        ) from error
    return path


def read(folder: Path, model: str) -> Calibrations:
    """Reads `calibration.json` of a checkpoint.

    Args:
      folder: the checkpoint.
      model: digest of the model that asks.

    Raises:
      CheckpointError: when the file is damaged, or of another model.
    """
    path = Path(folder) / checkpoint.CALIBRATION
    stored = checkpoint.read_json(path)
    try:
        if stored["format"] != FORMAT:
            raise ValueError(f'"format" is {stored["format"]!r}, expected {FORMAT!r}')
        pairs = {name: _pair(row) for name, row in stored["pairs"].items()}
        kept = {name: _unpacked(row) for name, row in stored.get("usual", {}).items()}
        found = Calibrations(str(stored["model"]), dict(stored["data"]), pairs, kept)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.CheckpointError(
            f"{path}: not a calibration of this version ({type(error).__name__}: {error}); run "
            "`lb-jax calibrate` again."
        ) from error
    if found.model != model:
        raise errors.CheckpointError(
            f"{path}: belongs to the weights {found.model[:12]}, not to {model[:12]}, which lie "
            "beside it, or was fitted before an update that prepares files otherwise; run "
            "`lb-jax calibrate` again."
        )
    return found


def _pair(row: Mapping[str, Any]) -> Pair:
    numbers = {field.name: row[field.name] for field in dataclasses.fields(Pair)[1:]}
    curve = calibration.Calibration(float(row["scale"]), float(row["bias"]), int(row["n"]))
    if not (math.isfinite(curve.scale) and math.isfinite(curve.bias) and curve.scale > 0):
        raise ValueError(f"scale {curve.scale}, bias {curve.bias}, expected finite and rising")
    return Pair(curve, **numbers)


def _packed(one: familiar.Usual) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"vectors": base64.b64encode(one.vectors).decode()}


def _unpacked(row: Mapping[str, Any]) -> familiar.Usual:
    numbers = {field.name: row[field.name] for field in dataclasses.fields(familiar.Usual)[1:]}
    one = familiar.Usual(base64.b64decode(row["vectors"], validate=True), **numbers)
    one.outside(np.zeros((1, len(one.vectors) // (familiar.STORED.itemsize * one.items))))
    return one

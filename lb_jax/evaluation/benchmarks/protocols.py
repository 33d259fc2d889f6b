"""The protocols of the published benchmarks: from rows to figures with intervals (spec 7).

Every protocol returns an `Outcome`; what it compares are rows whose dot product is the score, see
`scoring`. Figures are fractions. Intervals are of items drawn again: captions of one item are not
independent of each other.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.evaluation.metrics import (
    answers,
    captions,
    checks,
    classes,
    intervals,
    java_scorers,
    ranks,
    recall,
    scoring,
)
from lb_jax.evaluation.metrics import labels as multilabel

INVERSE_TEMPERATURE = 100  # of views, whatever was learned (`zero_shot_classifier.py`)
TOP_AT = (1, 5)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one protocol found.

    Attributes:
      metrics: figure by name, the headline first.
      chance: what guessing gives of the headline.
      interval: name -> (low, high), where an interval makes sense.
      rank: int `[q]`, of the right answer of each query, 1 the best; None where there is not one.
      item: int `[q]`, the item of each query.
      predicted: int `[q]`, the class each item counts as; None where there are no classes.
      per_class: recall or average precision of each class, None for one that does not occur.
    """

    metrics: dict[str, float]
    chance: float
    interval: dict[str, tuple[float, float]]
    rank: np.ndarray | None = None
    item: np.ndarray | None = None
    predicted: np.ndarray | None = None
    per_class: list[float | None] | None = None

    @property
    def headline(self) -> str:
        """Name of the first figure."""
        return next(iter(self.metrics))


def find_items(
    texts: np.ndarray, owner: np.ndarray, items: np.ndarray, alike: np.ndarray | None = None
) -> Outcome:
    """Texts look for their items: each text is ranked among all items.

    Args:
      texts: rows float32 `[k, e]`.
      owner: int `[k]`, the item each text describes.
      items: rows float32 `[n, e]`.
      alike: int `[n]`, equal for items that are right for each other, which then count as one by
        the best of them; None where none are.
    """
    if alike is None:
        return _retrieval(ranks.ranks(texts, items, owner), owner, len(items))
    rank = ranks.group_ranks(texts, items, alike, alike[owner])
    return _retrieval(rank, owner, int(alike.max()) + 1)


def find_texts(
    items: np.ndarray, texts: np.ndarray, owner: np.ndarray, same: np.ndarray
) -> Outcome:
    """Items look for their texts: the item's own texts are ranked among those of every item.

    An item scores by its best text, and text that an item has itself is no mistake when another
    item has it word for word, too.

    Args:
      items: rows float32 `[n, e]`.
      texts: rows float32 `[k, e]`; every item has at least one.
      owner: int `[k]`, the item each text describes.
      same: int `[k]`, equal where texts are word for word the same.
    """
    truth = np.arange(len(items))
    return _retrieval(
        ranks.group_ranks(items, texts, owner, truth, same), truth, len(items), lower_median=False
    )


def find_by_score(
    scores: np.ndarray, owner: np.ndarray, same: np.ndarray, *, items: bool
) -> Outcome:
    """Texts and items look for each other in a matrix of scores; both medians are the lower.

    Args:
      scores: `[k, n]`, of texts and items.
      owner: int `[k]`, the item each text describes; every item has at least one.
      same: int `[k]`, equal where texts are word for word the same.
      items: whether items are looked for, by texts as in `find_items`; otherwise texts, by items as
        in `find_texts`.
    """
    count = scores.shape[1]
    if items:
        asking, rank = owner, recall.ranks(scores, owner)
    else:
        asking = np.arange(count)
        rank = recall.group_ranks(scores.T, owner, asking, same)
    found = _retrieval(rank, asking, count, lower_median=True)
    more = {"mean_recall": recall.mean_recall(found.metrics)}
    return dataclasses.replace(found, metrics=found.metrics | more)


def caption(
    references: Mapping[str, Sequence[str]], said: Mapping[str, str], scorers: Sequence[str] = ()
) -> tuple[Outcome, dict[str, float]]:
    """Captions against those of people.

    Chance is what the captions score one item further on, each item having that of its neighbour.

    Args:
      references: item -> its captions by people.
      said: item -> its caption by the model.
      scorers: Java programs to be asked too, some of `java_scorers.SCORERS`.

    Returns:
      The outcome, and the headline's figure of each item.
    """
    found = captions.score(references, said)
    java = java_scorers.score(references, said, scorers).corpus
    ids = list(references)
    moved = {id_: said[other] for id_, other in zip(ids, [*ids[1:], ids[0]], strict=True)}
    headline = captions.NAMES[0]
    chance = captions.score(references, moved).corpus[headline]
    each = {id_: figures[headline] for id_, figures in found.per_item.items()}
    return Outcome(found.corpus | java, chance, found.interval), each


def answer(said: Sequence[str], right: Sequence[str], item: np.ndarray) -> Outcome:
    """Accuracy of answers, letter for letter; chance is that of the commonest answer.

    Args:
      said: answers of the model.
      right: those of the annotation.
      item: int `[q]`, the item of each.
    """
    hits = answers.right(said, right)
    found = {"accuracy": float(hits.mean())}
    limits = _intervals(found, hits[:, None].astype(float), item)
    return Outcome(found, answers.commonest(right), limits, np.where(hits, 1, 2), item)


def find_partners(queries: np.ndarray, targets: np.ndarray) -> Outcome:
    """Rows `[n, e]` of one modality look for their partners of another, `[n, e]`."""
    truth = np.arange(len(queries))
    return _retrieval(ranks.ranks(queries, targets, truth), truth, len(targets))


def classify(
    items: np.ndarray, weights: np.ndarray, labels: np.ndarray, same: np.ndarray
) -> Outcome:
    """Top-1 and top-5 accuracy.

    Classes whose prompts are word for word the same cannot be told apart. The first of them takes
    the tie, as the original has it.

    Args:
      items: rows float32 `[n, v, e]`, v views whose probabilities are averaged.
      weights: rows float32 `[c, e]`, one per class.
      labels: int `[n]`.
      same: int `[c]`, equal where prompts are the same.
    """
    scores = class_scores(items, weights)
    labels = checks.indices(labels, len(scores), scores.shape[1], "labels")
    later = (same[labels][:, None] == same[None]) & (np.arange(len(same))[None] > labels[:, None])
    scores[later] = scores.min() - 1
    return choose(scores, labels, np.arange(len(items)))


def choose(scores: np.ndarray, labels: np.ndarray, item: np.ndarray) -> Outcome:
    """Top-1 and top-5 accuracy of scores of classes.

    Args:
      scores: float `[q, c]`.
      labels: int `[q]`.
      item: int `[q]`, the item of each; of an item in several splits the tests are not independent.
    """
    labels = checks.indices(labels, len(scores), scores.shape[1], "labels")
    rank = recall.ranks(scores, labels)
    predicted = classes.predictions(scores, labels)
    hits = np.stack([rank <= k for k in TOP_AT], 1).astype(float)
    count = scores.shape[1]
    found = {f"top{k}": float(hits[:, i].mean()) for i, k in enumerate(TOP_AT) if count > k}
    counts = np.bincount(labels, minlength=count)
    right = np.bincount(labels[rank == 1], minlength=count)
    per_class = [float(r / c) if c else None for r, c in zip(right, counts, strict=True)]
    mean = float(np.mean([one for one in per_class if one is not None]))
    return Outcome(
        found | {"mean_per_class": mean},
        1 / count,
        _intervals(found, hits, item),
        rank,
        np.arange(len(scores)),
        predicted,
        per_class,
    )


def class_scores(items: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Scores float32 `[n, c]` of rows `[n, v, e]` and `[c, e]`.

    Of several views the probabilities are averaged: softmax of 100 times the score (spec 7.2).
    """
    if items.shape[1] == 1:
        return scoring.cosine(items[:, 0], weights)
    found = []
    for views in items:
        logits = INVERSE_TEMPERATURE * (views.astype(np.float64) @ weights.astype(np.float64).T)
        found.append(_softmax(logits).mean(0))
    return np.array(found)


def rank_several(items: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> Outcome:
    """Mean average precision of items with several right classes (AudioSet).

    Args:
      items: rows float32 `[n, v, e]`.
      weights: rows float32 `[c, e]`.
      labels: bool `[n, c]`.
    """
    return choose_several(class_scores(items, weights), labels)


def choose_several(
    scores: np.ndarray, labels: np.ndarray, unsure: np.ndarray | None = None
) -> Outcome:
    """Mean average precision of scores `[n, c]` of items with several right classes, bool `[n, c]`.

    Where `unsure`, bool `[n, c]`, an item counts for the class neither as right nor as wrong.
    """
    found = multilabel.score(scores, labels, unsure)
    per_class = found.pop("per_class")
    share = labels.mean(0)[[one is not None for one in per_class]]
    kept = {name: found[name] for name in ("mAP", "mAUC", "d_prime")}
    limits = {"mAP": multilabel.interval(scores, labels, unsure)}
    return Outcome(kept, float(share.mean()), limits, per_class=per_class)


def show_pairs(items: np.ndarray, texts: np.ndarray, inverse_temperature: float) -> Outcome:
    """Probabilities of two texts for two items, as the README of the original prints them.

    Args:
      items: rows float32 `[2, e]`.
      texts: rows float32 `[2, e]`.
      inverse_temperature: of the modality.

    Raises:
      DataError: there are not two of each.
    """
    if items.shape[0] != 2 or texts.shape[0] != 2:
        raise errors.DataError(
            "samples",
            f"{counted(len(items), 'item')} and {counted(len(texts), 'text')}, expected two of "
            "each",
        )
    shares = _softmax(inverse_temperature * scoring.cosine(items, texts).astype(np.float64))
    found = {f"p{i}{j}": float(shares[i, j]) for i in range(2) for j in range(2)}
    rank = recall.ranks(shares, np.arange(2))
    return Outcome(found, 0.5, {}, rank, np.arange(2))


def _retrieval(
    rank: np.ndarray, item: np.ndarray, candidates: int, *, lower_median: bool | None = None
) -> Outcome:
    several = len(rank) > len(np.unique(item)) if lower_median is None else lower_median
    found = recall.summary(rank, lower_median=several)
    hits = np.stack([rank <= k for k in recall.RECALL_AT], 1).astype(float)
    names = [f"R@{k}" for k in recall.RECALL_AT]
    return Outcome(found, 1 / candidates, _intervals(names, hits, item), rank, item)


def _intervals(
    names: Sequence[str] | Mapping[str, float], hits: np.ndarray, item: np.ndarray | None = None
) -> dict[str, tuple[float, float]]:
    """Intervals of the means of the columns of `hits [q, k]`, items drawn again."""
    names = list(names)
    hits = hits[:, : len(names)]
    item = np.arange(len(hits)) if item is None else np.unique(item, return_inverse=True)[1]
    sums = np.stack([np.bincount(item, column) for column in hits.T] + [np.bincount(item)], 1)
    low, high = intervals.bootstrap(sums, _mean)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(names)}


def _mean(sums: np.ndarray) -> np.ndarray:
    total = sums.sum(0)
    return total[:-1] / total[-1]


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)

"""The protocols against naive loops: ties, several captions, views, classes of one name."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import protocols
from lb_jax.evaluation.metrics import labels as multilabel
from lb_jax.evaluation.metrics import scoring


def rows(generator, count, width=12, few=None):
    """Unit rows, drawn from a few of which many are equal."""
    drawn = scoring.unit(generator.normal(size=(few or count, width)))
    return drawn[generator.integers(0, len(drawn), count)] if few else drawn


@pytest.mark.parametrize("seed", range(8))
def test_captions_of_items_against_naive_loops(seed):
    generator = np.random.default_rng(seed)
    items = int(generator.integers(1, 9))
    owner = generator.permutation(
        np.concatenate([np.arange(items), generator.integers(0, items, 2 * items)])
    )
    few = rows(generator, 6)
    same = generator.integers(0, 6, len(owner))  # captions of one number are word for word the same
    texts, media = few[same], rows(generator, items, few=4)

    scores = scoring.cosine(texts, media)
    naive = [
        1 + sum(s[j] >= s[o] for j in range(items) if j != o)
        for s, o in zip(scores, owner, strict=True)
    ]
    found = protocols.find_items(texts, owner, media)
    np.testing.assert_array_equal(found.rank, naive)
    assert found.metrics["R@1"] == np.mean(np.array(naive) == 1)
    assert found.chance == 1 / items
    alike = np.arange(items) // 2  # two of them are right for each other
    best = [[s[alike == g].max() for g in range(alike.max() + 1)] for s in scores]
    naive = [
        1 + sum(s >= groups[alike[o]] for g, s in enumerate(groups) if g != alike[o])
        for groups, o in zip(best, owner, strict=True)
    ]
    found = protocols.find_items(texts, owner, media, alike)
    np.testing.assert_array_equal(found.rank, naive)
    assert found.chance == 1 / len(best[0])

    naive = []
    for i in range(items):
        own = {int(s) for s, o in zip(same, owner, strict=True) if o == i}
        best = [
            max(
                [
                    scores[k, i]
                    for k in range(len(owner))
                    if owner[k] == g and (g == i or same[k] not in own)
                ],
                default=-9,
            )
            for g in range(items)
        ]
        naive.append(1 + sum(best[g] >= best[i] for g in range(items) if g != i))
    np.testing.assert_array_equal(protocols.find_texts(media, texts, owner, same).rank, naive)


@pytest.mark.parametrize("seed", range(8))
def test_classes_against_naive_loops(seed):
    generator = np.random.default_rng(seed)
    weights, items = rows(generator, 7, few=5), rows(generator, 30, few=9)
    labels = generator.integers(0, 7, 30)
    scores = scoring.cosine(items, weights)
    rank = [
        1 + sum(s[c] >= s[y] for c in range(7) if c != y)
        for s, y in zip(scores, labels, strict=True)
    ]
    found = protocols.classify(items[:, None], weights, labels, np.arange(7))
    assert found.metrics["top1"] == np.mean(np.array(rank) == 1)
    assert found.metrics["top5"] == np.mean(np.array(rank) <= 5)
    recalls = [np.mean(np.array(rank)[labels == c] == 1) for c in range(7) if (labels == c).any()]
    assert found.metrics["mean_per_class"] == pytest.approx(np.mean(recalls))
    low, high = found.interval["top1"]
    assert low <= found.metrics["top1"] <= high


def test_of_classes_of_one_name_the_first_takes_the_tie():
    weights = scoring.unit(np.array([[1.0, 0], [0, 1], [1, 0]]))
    items = weights[[0, 2, 1]][:, None]
    found = protocols.classify(items, weights, np.array([0, 2, 1]), np.array([0, 1, 0]))
    np.testing.assert_array_equal(found.rank, [1, 2, 1])
    np.testing.assert_array_equal(found.predicted, [0, 0, 1])
    strict = protocols.classify(items, weights, np.array([0, 2, 1]), np.arange(3))
    np.testing.assert_array_equal(strict.rank, [2, 2, 1])


def test_probabilities_of_views_are_averaged():
    generator = np.random.default_rng(0)
    weights, items = rows(generator, 4), rows(generator, 10).reshape(5, 2, -1)
    expected = []
    for views in items:
        shares = []
        for view in views:
            e = np.exp(100 * (weights.astype(np.float64) @ view))
            shares.append(e / e.sum())
        expected.append(np.mean(shares, axis=0))
    np.testing.assert_allclose(protocols.class_scores(items, weights), expected, rtol=1e-9)


def test_two_sure_views_outvote_an_unsure_one():
    """A mean of scores would say otherwise."""
    weights = np.eye(2, dtype=np.float32)
    views = np.array([[[0.5, 0.3], [0.5, 0.3], [-0.9, 0.1]]], np.float32)
    assert protocols.class_scores(views, weights).argmax() == 0
    assert (views[0] @ weights.T).mean(0).argmax() == 1


def test_average_precision_with_an_interval():
    generator = np.random.default_rng(1)
    labels = generator.random((60, 5)) < 0.3
    weights = np.eye(5, dtype=np.float32)
    items = (labels + 0.7 * generator.normal(size=labels.shape)).astype(np.float32)[:, None]
    found = protocols.rank_several(items, weights, labels)
    assert found.metrics["mAP"] == multilabel.score(items[:, 0], labels)["mAP"]
    low, high = found.interval["mAP"]
    assert low < found.metrics["mAP"] < high
    assert found.chance == pytest.approx(labels.mean())


def test_the_interval_of_average_precision_is_that_of_naive_halves():
    generator = np.random.default_rng(2)
    labels = generator.random((40, 3)) < 0.4
    scores = labels + generator.normal(size=labels.shape).round(1)  # with ties
    found = multilabel.interval(scores, labels, draws=50)
    generator = np.random.default_rng(0)
    halves = [generator.permutation(40)[:20] for _ in range(50)]

    def mean_average_precision(items):
        pairs = zip(scores[items].T, labels[items].T, strict=True)
        return np.mean([multilabel.average_precision(s, y) for s, y in pairs])

    naive = [mean_average_precision(half) for half in halves]
    middle = 2 * mean_average_precision(slice(None)) - np.mean(naive)
    reach = 1.959964 * np.std(naive, ddof=1)
    np.testing.assert_allclose(found, [middle - reach, middle + reach], rtol=1e-6)


@pytest.mark.parametrize(
    ("items", "classes", "share", "shift"), [(300, 4, 0.3, 1.0), (1500, 6, 0.02, 2.0)]
)
def test_the_interval_of_average_precision_covers_the_truth(items, classes, share, shift):
    """Of samples out of a population whose mean average precision is known."""
    generator = np.random.default_rng(3)

    def draw(*shape):
        labels = generator.random(shape) < share
        return generator.normal(size=shape) + shift * labels, labels

    truth = multilabel.average_precision(*draw(2_000_000))
    covered = 0
    for trial in range(100):
        low, high = multilabel.interval(*draw(items, classes), draws=100, seed=trial)
        covered += low <= truth <= high
    assert 88 <= covered <= 100


def test_pairs_show_probabilities():
    eye = np.eye(2, dtype=np.float32)
    found = protocols.show_pairs(eye, eye, np.log(3))
    assert found.metrics == pytest.approx({"p00": 0.75, "p01": 0.25, "p10": 0.25, "p11": 0.75})
    with pytest.raises(errors.DataError, match="3 items and 2 texts, expected two of each"):
        protocols.show_pairs(np.eye(3, 2), eye, 1.0)

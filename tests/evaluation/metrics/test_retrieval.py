"""Retrieval between captions and a modality."""

import numpy as np

from lb_jax.evaluation.metrics import retrieval


def test_shared_captions_are_right_for_each_of_their_items():
    items = np.eye(3, dtype=np.float32)
    text = np.array([[0.6, 0.8, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    table = retrieval.score(text, items, ["same", "same", "other"])
    assert table["x_to_text"]["R@1"] == 1
    assert table["x_to_text"]["chance_R@1"] == 1 / 2
    assert (table["text_to_x"]["R@1"], table["distinct_captions"], table["n"]) == (2 / 3, 2, 3)


def test_by_caption_a_caption_finds_any_item_that_carries_it():
    items = np.eye(3, dtype=np.float32)
    text = np.array([[0.6, 0.8, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32)
    table = retrieval.score(text, items, ["same", "same", "other"], by_caption=True)
    assert table["text_to_x"]["R@1"] == table["x_to_text"]["R@1"] == 1
    assert table["chance_R@1"] == 1 / 2


def test_by_caption_without_equal_ones_is_as_before():
    generator = np.random.default_rng(0)
    text, items = (generator.normal(size=(40, 8)).astype(np.float32) for _ in range(2))
    captions = [f"text {i}" for i in range(40)]
    both = [retrieval.score(text, items, captions, by_caption=one) for one in (False, True)]
    assert both[0]["text_to_x"] == both[1]["text_to_x"]
    assert both[0]["x_to_text"].items() >= both[1]["x_to_text"].items()

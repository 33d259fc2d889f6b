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

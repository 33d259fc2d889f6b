"""Emergent retrieval."""

import numpy as np

from lb_jax.evaluation.metrics import emergent


def test_emergent_pairs_follow_the_ids_not_the_rows():
    rows = np.eye(3, dtype=np.float32)
    tables = emergent.score({"audio": rows, "image": rows[::-1]}, {"audio": "abc", "image": "cba"})
    assert {pair: table["R@1"] for pair, table in tables.items()} == {
        "audio->image": 1,
        "image->audio": 1,
    }

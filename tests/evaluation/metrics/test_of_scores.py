"""Retrieval and dual softmax from a matrix of scores, against the reference numbers of `valor`."""

import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import retrieval
from tests.goldens import FOLDER

VALOR = FOLDER / "valor"


def printed(table: dict, side: str) -> dict:
    recalls = [100 * table[f"R@{k}"] for k in (1, 5, 10)]
    return {
        f"{side}_recall": "/".join(f"{one:.1f}" for one in recalls),
        f"{side}_ravg": round(100 * table["mean_recall"], 1),
        f"{side}_medianR": table["median_rank"],
        f"{side}_meanR": pytest.approx(table["mean_rank"], abs=1e-5),
    }


@pytest.mark.golden
def test_valor_retrieval_and_dual_softmax_are_as_printed():
    cases = json.loads((VALOR / "retrieval.json").read_text())
    arrays = np.load(VALOR / "retrieval.npz")
    assert cases
    for name, case in cases.items():
        scores = arrays[f"{name}/score"]
        place = {id_: i for i, id_ in enumerate(case["item_ids"])}
        owner = np.array([place[id_] for id_ in case["text_ids"]])
        for kind, temperature in (("plain", None), ("dual_softmax", case["tau"])):
            forward, backward = retrieval.of_scores(scores, owner, temperature=temperature)
            found = printed(forward, "forward") | printed(backward, "backward")
            assert {key: found[key] for key in case[kind]} == case[kind], (name, kind)
        for found, key in zip(
            retrieval.weighted(scores, case["tau"]),
            ("dsl_text_to_item", "dsl_item_to_text"),
            strict=True,
        ):
            np.testing.assert_allclose(found, arrays[f"{name}/{key}"], rtol=1e-5, atol=1e-30)


def test_ranks_above_2048_are_told_apart():
    """In half precision the scores of 2,500 items would be equal in runs."""
    scores = np.linspace(0.5, 0.6, 2500)[None]
    forward, _ = retrieval.of_scores(np.repeat(scores, 2500, 0), np.arange(2500))
    assert forward["mean_rank"] == 1250.5
    assert forward["median_rank"] == 1250


def test_an_item_that_every_text_prefers_gives_way_where_it_prefers_another_text():
    scores = np.array([[0.5, 0.6], [0.1, 0.9]])
    plain, _ = retrieval.of_scores(scores, np.arange(2))
    dual, _ = retrieval.of_scores(scores, np.arange(2), temperature=0.01)
    assert (plain["R@1"], dual["R@1"]) == (0.5, 1)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_not_above_zero_is_refused(temperature):
    with pytest.raises(errors.DataError, match="above 0"):
        retrieval.of_scores(np.eye(2), np.arange(2), temperature=temperature)


def test_an_item_without_text_is_refused():
    with pytest.raises(errors.DataError, match="1 of 3 have no member"):
        retrieval.of_scores(np.eye(2, 3), np.arange(2))

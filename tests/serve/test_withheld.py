"""No answer of the API tells a probability of media that the calibration was not fitted to."""

import pytest

from tests.serve.client import CONTENT


def found(server, text=None, **files):
    """Posts a search and gives the answer."""
    parts = [
        (name, (f"{name}.bin", data, "application/octet-stream")) for name, data in files.items()
    ]
    parts += [("k", (None, "12"))]
    parts += [("query", (None, text))] if text else []
    answer = server.http.post("/v1/search", files=parts)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_is_unlike_in_the_store_is_withheld_in_a_block_of_its_own(calibrated):
    answer = found(calibrated, "a picture of a red car")
    assert answer["grouped"]
    kinds = [row["modality"] for row in answer["data"]]
    assert set(kinds) == {"image", "video", "audio"}
    assert kinds == sorted(kinds, key=kinds.index)  # in blocks
    for row in answer["data"]:
        assert (row["probability"] is None) == (row["modality"] == "audio")
        assert (row["withheld"] is not None) == (row["modality"] == "audio")
        if row["withheld"]:
            assert row["withheld"].startswith("8 of 8 audio vectors are unlike")
            assert "--model" in row["withheld"]


def test_one_list_by_probability_where_all_is_known(calibrated):
    fields = {"query": "a picture of a red car", "modality": ["image", "video"], "k": 30}
    answer = calibrated.http.post("/v1/search", json=fields).json()
    assert not answer["grouped"]
    shares = [row["probability"] for row in answer["data"]]
    assert len(shares) == 30
    assert shares == sorted(shares, reverse=True)
    assert all(row["withheld"] is None for row in answer["data"])


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_file_that_is_unlike_gets_none_of_a_store_that_is_known(calibrated, modality):
    answer = found(calibrated, **{modality: CONTENT[modality]})
    assert {row["probability"] for row in answer["data"]} == {None}
    why = {row["withheld"] for row in answer["data"] if row["modality"] == "video"}
    assert len(why) == 1
    assert why.pop().startswith(
        f"the {modality} is unlike those that the calibration was fitted to"
    )

"""Cards of results: a reason stands where it holds."""

import dataclasses

import pytest

from lb_jax.search import ranking
from lb_jax.serve import drawing
from lb_jax.serve.searching import Found


def moment(modality, probability=None, withheld=None):
    return Found(f"/own/{modality}.bin", modality, None, None, 0.5, probability, withheld, "link")


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ([moment("image", 0.9), moment("video", 0.5)], []),
        ([moment("image", None, "<a>"), moment("image", None, "<a>")], ["&lt;a&gt;"]),
        (
            [moment("image", 0.9), moment("audio", None, "<a>")],
            [">image<", ">audio<", "&lt;a&gt;"],
        ),
        (
            [moment("image", None, "<a>"), moment("audio", None, "<a>")],
            ["&lt;a&gt;", ">image<", ">audio<"],
        ),
    ],
)
def test_a_reason_stands_once_where_it_holds(found, order):
    page = drawing.cards(found)
    places = [page.find(one) for one in order]
    assert -1 not in places
    assert places == sorted(places)
    assert page.count("No probability: ") == page.count("&lt;a&gt;") == bool("&lt;a&gt;" in order)
    assert page.count("<article") == 2
    assert "<a>" not in page


def test_captions_stand_with_their_moments_and_no_word_is_told():
    page = drawing.cards([dataclasses.replace(moment("image"), caption="a <b>"), moment("audio")])
    assert page.count("<q>a &lt;b&gt;</q>") == page.count("<q>") == 1
    assert "has a word of the text" in drawing.cards([], ranking.CAPTION)
    assert "fits these filters" in drawing.cards([])
    assert set(drawing.RANKINGS.values()) <= {"", *ranking.BY}

"""A labelled corpus is read whole, or the first thing that does not fit is named."""

import json

import pytest

from lb_jax.core import errors
from lb_jax.evaluation import labelled


def _edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_split_is_read_in_order(corpus):
    read = labelled.read(corpus)
    assert read.ids[:3] == ("item0", "item1", "item2")
    assert len(read.ids) == 12
    assert read.attributes["item1"] == {"category": "car", "motion": "right"}
    assert read.files["item1"]["audio"] == corpus / "audio" / "item1.wav"
    assert read.caption("item1", "sound_mplug") == "sound of item1"
    assert [(task.modality, task.attribute) for task in read.tasks][:2] == [
        ("image", "category"),
        ("video", "category"),
    ]
    assert read.having("image", "audio") == read.ids


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("attributes.json", lambda c: c["item0"].update(files={}), "item item0 names no files"),
        (
            "attributes.json",
            lambda c: c["item0"]["files"].update(infrared="x.jpg"),
            "modality 'infrared'",
        ),
        (
            "attributes.json",
            lambda c: c["item0"]["files"].update(image="gone.jpg"),
            "image file gone.jpg, which is not",
        ),
        (
            "attributes.json",
            lambda c: c["item0"].update(category="brid"),
            "no class 'brid'.*Did you mean 'bird'",
        ),
        ("attributes.json", lambda c: c["item0"].pop("category"), "no class 'None'.*more problems"),
        ("test.json", lambda c: c.pop("item7"), "item item7 is not in test.json"),
        (
            "prompts.json",
            lambda c: c["image/category"].pop("car"),
            "image/category has no class 'car'",
        ),
        (
            "prompts.json",
            lambda c: c["image/category"].update(car=[""]),
            "class 'car' of image/category needs",
        ),
        ("prompts.json", lambda c: c.update({"category": {}}), "expected modality/attribute"),
        ("prompts.json", lambda c: c.update({"image/category": {"bird": ["a"]}}), "1 class"),
        ("prompts.json", lambda c: c.update({"image/category": []}), "whose values are objects"),
    ],
)
def test_parts_that_do_not_fit_are_named(corpus, file, change, message):
    _edit(corpus / file, change)
    with pytest.raises(errors.DataError, match=message):
        labelled.read(corpus)


@pytest.mark.parametrize("file", ["attributes.json", "prompts.json", "test.json"])
def test_missing_and_damaged_parts_are_named(corpus, file):
    (corpus / file).write_bytes(b"\xff{")
    with pytest.raises(errors.DataError, match=f"{file}: is not JSON"):
        labelled.read(corpus)
    (corpus / file).unlink()
    with pytest.raises(errors.DataError, match=f"{file}: no such file"):
        labelled.read(corpus)


def test_an_unknown_split_is_answered_with_those_there(corpus):
    with pytest.raises(
        errors.DataError, match="no items of split 'val', found 12 of 'test', 1 of 'train'"
    ):
        labelled.read(corpus, "val")


def test_a_missing_kind_of_caption_is_named(corpus):
    with pytest.raises(
        errors.DataError, match=r"item item0.*no text under 'mplug'.*polish_mplug, sound_mplug"
    ):
        labelled.read(corpus).caption("item0", "mplug")

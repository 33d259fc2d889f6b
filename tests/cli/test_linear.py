"""`lb-jax evaluate --suite linear` on miniatures with a model of drawn weights."""

import importlib.util
import json

import pytest

from lb_jax.media import passes
from tests.evaluation import divided_miniatures
from tests.inference import valor_models

SUITE = "evaluate --suite linear --root {tmp} --model {model} --cache {tmp}/cache --out {tmp}/out"


@pytest.fixture
def datasets(tmp_path):
    for name in ("ucf101", "esc50", "voc2007"):
        divided_miniatures.write(name, tmp_path)
    return tmp_path


def test_classes_that_differ_are_told_apart(call, datasets, monkeypatch):
    result = call(SUITE)
    assert result.status == 0, result.err
    metrics = json.loads((datasets / "out" / "metrics.json").read_text())
    assert set(metrics["left_out"]) == {"hmdb51", "audioset", "k600", "imagenet"}
    told = {name: one["tasks"] for name, one in metrics["benchmarks"].items()}
    assert told["ucf101"]["video->class"]["metrics"]["top1"] == 1
    assert told["esc50"]["audio->class"]["metrics"]["top1"] == 1
    assert told["voc2007"]["image->class"]["metrics"]["mAP"] == 1
    assert metrics["settings"]["c"] == {"ucf101": 0.001, "esc50": 0.01, "voc2007": 0.01}
    assert "Linear classifiers" in result.out
    page = (datasets / "out" / "report.html").read_text()
    for words in ("UCF101, split 1", "Confusions", "ucf101 0.001", "89.6"):
        assert words in page

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(passes, "arrays", refuse)
    other = SUITE.replace("{tmp}/out", "{tmp}/other") + " --only ucf101 --svm-c 0.1"
    result = call(other)
    assert result.status == 0, result.err
    result = call("evaluate --compare {tmp}/out {tmp}/other")
    assert result.status == 0, result.err
    assert "ucf101 video->class top1" in result.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--root {tmp} --model {model}", "no classifier can be learnt: there is no folder ucf101"),
        ("--root {tmp} --model {model} --scoring dot", "--scoring is not used with --suite linear"),
        ("--model {model}", "--suite linear needs --root"),
        ("--root {tmp} --model {model} --only msrvtt", "no data set of the suite linear 'msrvtt'"),
        ("--root {tmp} --model {model} --svm-c 0", "C is 0.0, expected a number above 0"),
    ],
)
def test_mistakes_are_one_line(call, line, message):
    result = call(f"evaluate --suite linear {line}")
    assert result.status == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_what_cannot_learn_is_refused_before_the_model_is_read(call, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sklearn" else find(name)
    )
    result = call("evaluate --suite linear --root {tmp} --model nothing")
    assert result.status == 2
    assert "pip install 'lb_jax[linear]'" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_model_that_writes_is_refused(call, tmp_path):
    writer = valor_models.save(tmp_path / "valor")
    result = call(f"evaluate --suite linear --root {{tmp}} --model {writer}")
    assert result.status == 2
    assert "a VALOR model; --suite linear takes the towers of an encoder" in result.err

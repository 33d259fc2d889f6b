"""`lb-jax caption` and `lb-jax ask`: what they print and write, and one line for what is wrong."""

import json

import numpy as np
import pytest

from lb_jax.cli import writer_arguments
from lb_jax.convert import torch_writer
from lb_jax.core import shipped
from lb_jax.inference import opening, valor_items
from tests.inference import valor_models
from tests.media import media_files

CAPTION = "caption {tmp}/media --model={writer} -o {tmp}/c.jsonl --workers=1 --batch-size=2"


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A VALOR model, folders of weights that are none, and media."""
    root = tmp_path_factory.mktemp("valor")
    valor_models.save(root / "model")
    content = {
        "loud.mp4": media_files.clip(sound=True),
        "rain.wav": media_files.sound(media_files.noise(16000)),
        "silent.mp4": media_files.clip(rough=True),
    }
    (root / "media").mkdir()
    for name, one in content.items():
        (root / "media" / name).write_bytes(one)
    for name in ("vast", "bare"):
        (root / name / "ckpt").mkdir(parents=True)
        file = root / name / "ckpt" / "model_step_5.pt"
        torch_writer.write(file, [("vision.a", np.zeros(3, np.float32))], {})
    (root / "vast" / "log").mkdir()
    (root / "vast" / "log" / "hps.json").write_text("{}")
    return root


@pytest.fixture
def say(call, writer, tmp_path):
    """`call`, with the model's folder as {writer} and media as {media}."""

    def said(line):
        for name, folder in (("writer", "model"), ("media", "media"), ("other", "")):
            line = line.replace(f"{{{name}}}", str(writer / folder))
        return call(line)

    return said


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_files_become_rows_which_evaluate_scores(say, writer, tmp_path):
    line = CAPTION.replace("{tmp}/media", "{media}")
    result = say(line)
    assert result.status == 0, result.err
    first, *more = result.out.splitlines()
    assert first.startswith(f"{tmp_path}/c.jsonl: 3 files, 3 captions written in ")
    found = rows(tmp_path / "c.jsonl")
    assert [(row["path"].rpartition("/")[2], row["group"]) for row in found] == [
        ("loud.mp4", "tva"),
        ("rain.wav", "ta"),
        ("silent.mp4", "tv"),
    ]
    names = [row["path"].rpartition("/")[2] for row in found]
    told = [f"  {name}: {row['caption']}" for name, row in zip(names, found, strict=True)]
    assert more == told
    before = (tmp_path / "c.jsonl").read_bytes()
    again = say(line)
    assert "0 captions written" in again.out
    assert "3 unchanged" in again.out

    refused = say(f"{line} --beam 2 --longest 9")
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "written with beams 3, not 2, longest 23, not 9;" in refused.err
    assert (tmp_path / "c.jsonl").read_bytes() == before

    truth = [{"id": name.partition(".")[0], "caption": "a dog"} for name in names]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    score = "evaluate --captions {tmp}/c.jsonl --references {tmp}/truth.json --out {tmp}/out"
    result = say(score)
    assert result.status == 0, result.err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n"] == 3
    del truth[1]["id"]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    result = say(score.replace("tmp}/out", "tmp}/bad"))
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "truth.json: " in result.err
    assert not (tmp_path / "bad").exists()


def test_answers_are_lines_or_a_document(say, writer):
    model = opening.load_writer(writer / "model")
    questions = ["what is seen", "a dog"]
    loud = writer / "media" / "loud.mp4"
    expected = model.answer(loud, questions)
    line = "ask {media}/loud.mp4 'what is seen' 'a dog' --model={writer}"
    result = say(line)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == expected
    found = json.loads(say(f"{line} --json").out)
    assert found["group"] == "tva"
    assert found["model"] == model.digest
    assert [one["answer"] for one in found["answers"]] == expected
    assert [one["question"] for one in found["answers"]] == questions
    told = json.loads(say(f"{line} --json --group tv --beam 2 --longest 5").out)
    assert told["group"] == "tv"
    other = model.answer(loud, questions, group="tv", beam=2, longest=5)
    assert [one["answer"] for one in told["answers"]] == other


ONE = "caption {media}/silent.mp4 --model={writer} -o {tmp}/c.jsonl --workers=1"
BAD = {
    f"{ONE} --group=ta": "silent.mp4: is a film without a sound track, and ta needs audio",
    f"{ONE} --longest=24": "longest is 24, and the decoder has positions for 23 tokens",
    f"{ONE} --frames=9": "frames is 9, and the model has embeddings for 2",
    f"{ONE} --beam=0": "--beam is 0; it must be from 1 to 64",
    f"{ONE} --beam=1000000": "--beam is 1000000; it must be from 1 to 64",
    f"{ONE} --length-penalty=nan": "--length-penalty is nan; it must be a finite number",
    f"{ONE} --no-repeat-ngram=-1": "--no-repeat-ngram is -1; it must be 0 or more",
    f"{ONE} --group=tav": "invalid choice: 'tav'",
    f"{ONE} --batch-size=0": "--batch-size is 0; it must be at least 1",
    f"{ONE} --config={{tmp}}/no.json": "has its own config; leave config out",
    ONE.replace("--model={writer}", "--config=x"): "--config x with no --model; models of the",
    "ask {media}/rain.wav a --model=captioner --config=x": "It goes with --model FOLDER, weights",
    "ask {media}/rain.wav a --model={other}/bare --config=no.json": "give the options' file",
    ONE.replace("silent.mp4", "none.mp4"): "none.mp4: does not exist",
    ONE.replace("c.jsonl", "c.csv"): "c.csv; captions are JSON lines",
    ONE.replace("{writer}", "{other}/vast"): "no weights of VALOR",
    ONE.replace("{writer}", "{other}/bare"): "no log/hps.json, the options of the run",
    ONE.replace("{writer}", "{model}"): "an encoder, which gives vectors and does not write",
    ONE.replace("--model={writer}", ""): "caption needs a model, and none comes with this version",
    "ask {media}/rain.wav '' --model={writer}": "question 0: is empty after cleaning",
    "ask {media}/rain.wav 'a dog' ' ?' --model={writer}": "question 1: is empty after cleaning",
    "ask {media}/silent.mp4 'a' --group=ta --model={writer}": "is a film without a sound track",
    "ask {media}/rain.wav 'a' --longest=24 --model={writer}": "has positions for 23 tokens",
    "ask {media}/none.wav 'a' --model={writer}": "none.wav: does not exist",
    "ask {media}/rain.wav --model={writer}": "the following arguments are required: QUESTION",
    "ask {media}/rain.wav 'a' --model=demo": "demo: an encoder, which gives vectors",
}


@pytest.mark.parametrize("line", BAD)
def test_a_mistake_is_one_line_and_writes_nothing(say, tmp_path, monkeypatch, line):
    monkeypatch.setattr(shipped, "is_there", lambda name: False)
    result = say(line)
    assert (result.status, result.out) == (2, "")
    *progress, last = result.err.splitlines()
    assert BAD[line] in last
    assert all(one.startswith("caption: ") for one in progress)
    assert not [*tmp_path.glob("c.*")]


def test_the_groups_of_the_options_are_those_of_the_models():
    assert tuple(writer_arguments.GROUPS) == valor_items.GROUPS

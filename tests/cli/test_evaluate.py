"""`lb-jax evaluate`: the suite on miniatures with a real model, dot products, two results."""

import json
import re

import numpy as np
import pytest

from lb_jax.evaluation.benchmarks.table import BENCHMARKS
from lb_jax.media import clips
from tests.convert import imagebind_weights
from tests.evaluation import miniatures
from tests.evaluation.conftest import write_corpus
from tests.inference import valor_models

SUITE = "evaluate --suite paper --root {tmp} --model {model} --cache {tmp}/cache --out {tmp}/out"


@pytest.fixture
def datasets(tmp_path):
    for name in ("msrvtt", "clotho", "llvip"):
        miniatures.write(name, tmp_path)
    return tmp_path


def test_the_suite_runs_what_is_there(call, datasets):
    result = call(SUITE)
    assert result.status == 0, result.err
    metrics = json.loads((datasets / "out" / "metrics.json").read_text())
    assert set(metrics["benchmarks"]) == {"msrvtt", "clotho", "llvip"}
    assert set(metrics["left_out"]) == set(BENCHMARKS) - set(metrics["benchmarks"])
    assert set(metrics["benchmarks"]["clotho"]["tasks"]) == {"text->audio", "audio->text"}
    for title in ("Zero-shot text to video", "Zero-shot classification", "Zero-shot text to audio",
                  "Joint retrieval", "Emergent retrieval", "README samples"):  # fmt: skip
        assert title in result.out
    page = (datasets / "out" / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    for words in ("42.7 67.1 77.0", "Hardest queries", "Modality gap", "Confusions", "Scores"):
        assert words in page


def test_embeddings_are_computed_once(call, datasets, monkeypatch):
    assert call(SUITE).status == 0
    first = json.loads((datasets / "out" / "metrics.json").read_text())

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(clips, "preprocess", refuse)
    result = call(SUITE)
    assert result.status == 0, result.err
    again = json.loads((datasets / "out" / "metrics.json").read_text())
    for found in (first, again):
        for one in found["benchmarks"].values():
            del one["seconds"]
    assert again == first


def test_results_are_compared(call, datasets):
    assert call(SUITE).status == 0
    assert (
        call(SUITE.replace("{tmp}/out", "{tmp}/dot") + " --scoring dot --only clotho").status == 0
    )
    result = call("evaluate --compare {tmp}/out {tmp}/dot")
    assert result.status == 0, result.err
    assert "clotho text->audio R@1 " in result.out
    assert "clotho text->audio R@5 " in result.out
    assert "Scored differently" in " ".join(result.out.split())


def test_a_damaged_file_is_named_and_the_rest_is_scored(call, datasets):
    video = sorted((datasets / "msrvtt").rglob("*.mp4"))[0]
    video.write_bytes(b"no video")
    result = call(SUITE + " --only msrvtt")
    assert result.status == 0, result.err
    assert f"unreadable  video     {video.stem}" in result.out
    metrics = json.loads((datasets / "out" / "metrics.json").read_text())["benchmarks"]["msrvtt"]
    assert metrics["tasks"]["text->video"]["n"] == metrics["items"] - 1


def test_a_corpus_is_scored_by_dot_product(call, tmp_path):
    write_corpus(tmp_path / "corpus", 6, media=True)
    found = []
    for scoring in ("cosine", "dot"):
        line = (
            f"evaluate --data {{tmp}}/corpus --model {{model}} --scoring {scoring} --out {{tmp}}/"
        )
        result = call(line + scoring)
        assert result.status == 0, result.err
        found.append(json.loads((tmp_path / scoring / "metrics.json").read_text()))
    ranks = [one["retrieval"]["image"]["text_to_x"]["mean_rank"] for one in found]
    assert np.isfinite(ranks).all()
    tasks = [{k: v["top1"] for k, v in one["zero_shot"].items()} for one in found]
    assert tasks[0] == tasks[1]  # the length of an item's vector does not change its class


def test_own_tasks_on_a_corpus(call, tmp_path):
    write_corpus(tmp_path / "corpus", 6, media=True)
    line = (
        "evaluate --data {tmp}/corpus --model {model} --cache {tmp}/cache --out {tmp}/out --tasks "
    )
    result = call(line + "text->video,audio+image->text,image+text->depth")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["benchmarks"]["corpus"]
    assert set(found["tasks"]) == {"text->video", "audio+image->text", "image+text->depth"}
    assert set(found["tasks"]["audio+image->text"]["drop_one"]) == {"audio", "image"}
    assert "What each modality brings" in result.out
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("published", "MSR-VTT", "Joint retrieval"):  # nothing of the paper was asked
        assert words not in result.out
    assert "MSR-VTT" not in page
    assert call(line + "text->vidio").status == 2


def own_csv(folder, count=6):
    """Sounds and pictures of own names, the fifth picture damaged."""
    write_corpus(folder / "corpus", count, media=True)
    (folder / "corpus" / "image" / "item4.jpg").write_bytes(b"nothing")
    rows = ["picture,sound,title,kind"]
    for i in range(count):
        kind = ("bird", "car")[i % 2]
        rows.append(f"image/item{i}.jpg,audio/item{i}.wav,a {kind} number {i // 2},{kind}")
    (folder / "own.csv").write_text("\n".join(rows) + "\n")
    return (
        "--data {tmp}/own.csv --root {tmp}/corpus --model {model} "
        "--columns image=picture,audio=sound,caption=title,class=kind"
    )


def test_own_data_are_scored_with_classes_and_what_is_bad_is_listed(call, tmp_path):
    result = call(f"evaluate {own_csv(tmp_path)} --out {{tmp}}/out")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {name: row["n"] for name, row in found["retrieval"].items()} == {"image": 5, "audio": 6}
    assert set(found["zero_shot"]) == {"image/class", "audio/class"}
    assert [one["kind"] for one in found["problems"]] == ["unreadable"]
    assert "left out: 1 unreadable" in result.out
    assert "item4.jpg: " in result.out
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("Left out", "right for each other", "audio/<wbr>class", "Examples"):
        assert words in page


def test_tasks_on_own_data(call, tmp_path):
    line = f"evaluate {own_csv(tmp_path)} --cache {{tmp}}/cache --tasks text->audio,image->audio"
    result = call(line)
    assert result.status == 0, result.err
    assert "text->audio" in result.out
    assert "unreadable" in result.out
    assert "MSR-VTT" not in result.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--data {tmp}/own.csv --modality audio --split test", "--split names a part of a corpus"),
        ("--data {tmp}/own.csv --columns class=knd,audio=sound", "no column 'knd'.*'kind'"),
        ("--data {tmp}/own.csv --columns klass=kind", "no column can hold 'klass'.*'class'"),
        ("--data {tmp}/corpus --columns class=kind", "has no use for --columns; leave it out"),
        ("--data {tmp}/own.csv --max-bad-rate 5", "--max-bad-rate is 5.0; it must be from 0 to 1"),
    ],
)
def test_mistakes_with_own_data_are_one_line(call, tmp_path, more, message):
    own_csv(tmp_path, 2)
    result = call(f"evaluate --model {{model}} {more}")
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    assert re.search(message, result.err), result.err


def test_captions_of_a_file_are_scored(call, tmp_path):
    (tmp_path / "said.jsonl").write_text('{"path": "v/a.mp4", "caption": "a dog"}\n')
    (tmp_path / "truth.json").write_text('[{"video_id": "a", "desc": "A dog."}]')
    line = "evaluate --captions {tmp}/said.jsonl --references {tmp}/truth.json --out {tmp}/out"
    result = call(line)
    assert result.status == 0, result.err
    assert "ROUGE-L" in result.out
    assert "1 item, 1 reference; ptb-python-1" in " ".join(result.out.split())
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert metrics["ROUGE-L"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<b title="in a reference">dog</b>' in page
    assert "<li>A dog.</li>" in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--captions {tmp}/a.json", "--captions needs --references"),
        ("--captions a.json --references b.json --model m", "--model is not used with --captions"),
        (
            "--captions {tmp}/a.json --references {tmp}/a.json --scorers METOER",
            "no scorer of captions 'METOER'; there are METEOR, SPICE",
        ),
        ("--captions {tmp}/a.json --references {tmp}/b.json", "b.json: no such file"),
        (
            "--suite paper --root {tmp} --model {model} --scorers BLEU",
            "no scorer of captions 'BLEU'",
        ),
    ],
)
def test_mistakes_with_captions_are_one_line_and_nothing_is_written(call, tmp_path, line, message):
    (tmp_path / "a.json").write_text('{"a": "x"}')
    result = call(f"evaluate {line} --out {{tmp}}/out")
    assert result.status == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A VALOR model."""
    return valor_models.save(tmp_path_factory.mktemp("valor") / "model")


def test_a_model_that_writes_is_asked_for_what_it_has(call, tmp_path, writer):
    for name in ("msrvtt", "msvd", "msrvtt_qa", "k400"):
        miniatures.write(name, tmp_path)
    line = SUITE.replace("{model}", str(writer))
    result = call(f"{line} --only msrvtt,msvd,msrvtt_qa,k400,nyu_depth")
    assert result.status == 0, result.err
    told = "not of this model, which writes and gives no vectors: k400, nyu_depth"
    assert result.out.splitlines().count(told) == 1
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(metrics["benchmarks"]) == {"msrvtt", "msvd", "msrvtt_qa"}
    assert "text->audio+video" in metrics["benchmarks"]["msrvtt"]["tasks"]
    assert set(metrics["left_out"]) == {"k400", "nyu_depth"}
    msvd = metrics["benchmarks"]["msvd"]["tasks"]
    assert set(msvd) == {"text->video", "video->text", "video->caption"}
    assert msvd["video->caption"]["metrics"].keys() >= {"BLEU-4", "ROUGE-L", "CIDEr"}
    written = json.loads((tmp_path / "out" / "written.json").read_text())
    assert {one["benchmark"] for one in written} == {"msvd", "msrvtt_qa"}
    assert all(one["said"] for one in written if one["task"].endswith("caption"))
    assert "MSRVTT-QA" in (tmp_path / "out" / "report.html").read_text()
    assert "text->video: " in result.err  # progress


def test_own_tasks_of_a_model_that_scores_pairs(call, tmp_path, writer):
    write_corpus(tmp_path / "corpus", 4, media=True)
    line = f"evaluate --data {{tmp}}/corpus --model {writer} --out {{tmp}}/out --cache {{tmp}}/c"
    result = call(f"{line} --tasks text->video")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["benchmarks"]["corpus"]
    assert found["tasks"]["text->video"]["n"] == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--suite paper --root {tmp} --only k400", "k400: compares vectors, which a model that"),
        ("--suite paper --root {tmp} --only k400 --depth-unit mm", "has no option depth_unit"),
        ("--data {tmp}/corpus --tasks video->depth", "gives no vectors (video->depth)"),
        ("--data {tmp}/corpus", "a VALOR model, which gives no vectors of classes; give --tasks"),
    ],
)
def test_what_a_model_that_writes_does_not_have_is_one_line(call, tmp_path, writer, more, message):
    write_corpus(tmp_path / "corpus", 2, media=True)
    cache = "--cache {tmp}/c" if "--suite" in more or "--tasks" in more else ""
    result = call(f"evaluate --model {writer} {cache} {more}")
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.fixture(scope="module")
def imagebind(tmp_path_factory):
    """Small weights of ImageBind that read texts."""
    folder = tmp_path_factory.mktemp("imagebind") / "released"
    return imagebind_weights.write(folder, cfg=imagebind_weights.READING)


def test_imagebind_stands_beside_its_published_figures(call, tmp_path, imagebind):
    for name in ("msrvtt", "nyu_depth", "k400", "llvip"):
        miniatures.write(name, tmp_path)
    result = call(SUITE.replace("{model}", str(imagebind)) + " --depth-camera kinect")
    assert result.status == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["family"] == "ImageBind"
    assert set(metrics["benchmarks"]["msrvtt"]["tasks"]) >= {"text->audio", "text->audio+video"}
    assert metrics["benchmarks"]["nyu_depth"]["tasks"]["depth->text"]["n"] == 4
    assert not metrics["benchmarks"]["k400"]["left_out"]
    page = (tmp_path / "out" / "report.html").read_text()
    for title in ("ImageBind, zero-shot classes", "ImageBind, MSR-VTT by text"):
        assert title in result.out
        assert title in page
    rows = [line for line in result.out.splitlines() if "this model (ImageBind)  " in line]
    assert len(rows) >= 3


def test_why_no_item_can_be_used_is_told(call, tmp_path, imagebind):
    miniatures.write("nyu_depth", tmp_path)
    result = call(SUITE.replace("{model}", str(imagebind)))
    assert result.status == 0, result.err
    left_out = json.loads((tmp_path / "out" / "metrics.json").read_text())
    reason = left_out["benchmarks"]["nyu_depth"]["left_out"]["depth->text"]
    assert re.match("0 items with all of it, expected at least 2; depth of .*: .*camera", reason)


def test_two_models_are_one_report(call, tmp_path, imagebind):
    for name in ("clotho", "nyu_depth"):
        miniatures.write(name, tmp_path)
    line = f"{SUITE} --model {imagebind} --depth-camera kinect --depth-unit mm"
    result = call(line)
    assert result.status == 0, result.err
    out = tmp_path / "out"
    families = [json.loads((out / x / "metrics.json").read_text())["family"] for x in "AB"]
    assert families == ["LanguageBind", "ImageBind"]
    assert f"B: {imagebind}" in result.out.splitlines()
    said = " ".join(result.out.split())
    assert "A (LanguageBind): All figures" in said
    assert "figure A B B - A" in said
    page = (out / "report.html").read_text()
    assert "B (ImageBind)" in page
    again = call("evaluate --compare {tmp}/out/A {tmp}/out/B --out {tmp}/both")
    assert again.status == 0, again.err
    assert "B (ImageBind)" in again.out
    assert "B (ImageBind)" in (tmp_path / "both" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--suite paper --root {tmp} --model {model} --model {model}", "twice"),
        ("--suite paper --root {tmp} --model audio=x --model audio=y", "given audio twice"),
        ("--data {tmp} --model {model} --model other", "--data takes one model, got 2"),
        (
            "--suite paper --root {tmp} --model {model} --model demo --depth-camera kinect",
            "--depth-camera is for none of these models",
        ),
    ],
)
def test_mistakes_with_several_models_are_one_line(call, tmp_path, more, message):
    cache = "--cache {tmp}/c" if "--suite" in more else ""
    result = call(f"evaluate {more} {cache}")
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    assert message in result.err

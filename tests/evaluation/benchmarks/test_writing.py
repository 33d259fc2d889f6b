"""Models that write: from files to captions, answers and scores of pairs, and what goes wrong."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import layouts, results, suite, writing
from lb_jax.evaluation.benchmarks.table import BENCHMARKS, Settings
from tests.evaluation import miniatures
from tests.evaluation.planted import Planted, Writes

WRITTEN = tuple(name for name, row in BENCHMARKS.items() if row.written)
PAIRS = tuple(name for name in WRITTEN if BENCHMARKS[name].tasks)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Every data set that is written of, in miniature; not to be changed."""
    root = tmp_path_factory.mktemp("written")
    for name in WRITTEN:
        miniatures.write(name, root)
    return root


def read(root, name):
    return layouts.LAYOUTS[name].read(root / name)


def run(split, name, writer, settings=None, embedder=None):
    return suite.score(
        embedder, name, BENCHMARKS[name], split, settings or Settings(), writer=writer
    )


@pytest.mark.parametrize("name", WRITTEN)
def test_a_writer_that_knows_writes_and_finds_everything(root, name):
    split = read(root, name)
    result = run(split, name, Writes(split))
    assert not result.left_out
    assert set(result.written) == {str(task) for task in BENCHMARKS[name].written}
    for task in result.written.values():
        if task.task.kind == "answer":
            assert task.outcome.metrics == {"accuracy": 1}
            assert len(task.lines) == sum(map(len, split.questions.values()))
        else:
            assert task.outcome.metrics["BLEU-1"] == pytest.approx(1)
            assert task.outcome.metrics["CIDEr"] > task.outcome.chance
        assert task.ids == split.ids
    for task in result.tasks.values():
        assert task.outcome.metrics["R@1"] == task.outcome.metrics["mean_recall"] == 1
        assert task.similarity(0, 1).shape == (1, task.targets.shape[0])


@pytest.mark.parametrize("settings", [Settings(), Settings(dual_softmax="on")])
@pytest.mark.parametrize("name", PAIRS)
def test_an_item_taken_for_another_is_not_found(root, name, settings):
    split = read(root, name)
    result = run(split, name, Writes(split, {split.ids[1]}), settings)
    for task in result.tasks.values():
        expected = [id_ not in split.ids[:2] for id_ in task.ids]
        if task.task.query == ("text",):  # both items look the same, and lose
            found = [rank == 1 for rank in task.outcome.rank.tolist()]
            assert found == [expected[i] for i in task.outcome.item.tolist()]
        else:
            assert task.outcome.rank[1] > 1


def test_an_answer_to_another_video_is_wrong(root):
    split = read(root, "msrvtt_qa")
    result = run(split, "msrvtt_qa", Writes(split, {"video7010"}))
    task = result.written["video->answer"]
    assert task.outcome.metrics["accuracy"] == pytest.approx(1 / 3)
    assert [line.said for line in task.lines] == ["something else", "something else", "cat"]
    found = results.outcomes(suite.SuiteResult({"msrvtt_qa": result}, {}, Settings()))
    assert found["msrvtt_qa/video->answer"] == {
        "figures": {"accuracy": 1},
        "items": ["video7010", "video7010", "video7011"],
        "ranks": [2, 2, 1],
    }


@pytest.mark.parametrize("name", ["msrvtt_caption", "valor32k", "activitynet_qa", "vatex"])
def test_a_damaged_file_takes_out_its_item_alone(tmp_path, name):
    miniatures.write(name, tmp_path)
    split = read(tmp_path, name)
    bad = split.ids[-1]
    path = split.media["video"][bad].path
    writer = Writes(split)
    path.write_bytes(path.read_bytes()[:200])
    result = run(split, name, writer)
    if len(split.ids) == 2:  # one is too few
        assert not result.written
        assert set(result.left_out.values()) == {"1 item has all of it, expected at least 2"}
    for task in (*result.written.values(), *result.tasks.values()):
        assert task.ids == split.ids[:-1]
        assert task.asked == len(split.ids)
    for task in result.tasks.values():
        assert task.outcome.metrics["R@1"] == 1
    assert {(one.kind, one.name) for one in result.problems} == {("unreadable", bad)}


def test_items_are_handed_over_in_parts_with_all_their_questions(root, monkeypatch):
    monkeypatch.setattr(writing, "PART", 1)
    split = read(root, "msrvtt_qa")
    writer = Writes(split)
    run(split, "msrvtt_qa", writer)
    assert writer.asked == [("tva", 2), ("tva", 1), ("tv", 2), ("tv", 1)]


def test_a_model_that_does_not_write_is_told_in_one_line(root, tmp_path):
    rows = {name: BENCHMARKS[name] for name in ("msrvtt_qa", "tgif_qa")}
    with pytest.raises(errors.DataError) as caught:
        suite.run(None, root, rows, Settings())
    assert "this model does not write (video->answer); one with a decoder does, such as VALOR" in (
        str(caught.value)
    )
    assert "\n" not in str(caught.value)


def test_a_group_that_the_model_lacks_is_named(root):
    split = read(root, "valor32k")
    writer = Writes(split)
    writer.groups = ("tv",)
    result = run(split, "valor32k", writer)
    assert set(result.written) == {"video->caption"}
    assert result.left_out["audio->caption"] == (
        "the model has no group ta for audio->caption; it has tv"
    )
    assert result.left_out["text->audio"] == (
        "this model gives no vectors (text->audio); an encoder does, such as LanguageBind"
    )


def test_pairs_are_scored_by_the_model_that_can_and_vectors_compared_otherwise(root):
    split = read(root, "valor32k")
    writer = Writes(split)
    writer.groups = ("tva",)
    result = run(split, "valor32k", writer, embedder=Planted(split, BENCHMARKS["valor32k"]))
    kinds = {name: type(task).__name__ for name, task in result.tasks.items()}
    assert kinds == {
        "text->audio+video": "ScoredResult",
        "text->video": "TaskResult",
        "text->audio": "TaskResult",
    }


@pytest.mark.parametrize("task", ["text->audio", "audio->text"])
def test_dual_softmax_of_vectors_finds_what_cosines_find(root, task):
    split = read(root, "clotho")
    embedder = Planted(split, BENCHMARKS["clotho"])
    row = dataclasses.replace(BENCHMARKS["clotho"], written=())
    found = suite.score(embedder, "clotho", row, split, Settings(dual_softmax="on"))
    assert found.tasks[task].outcome.metrics["R@1"] == 1


def test_texts_and_figures_are_plain_values(root):
    split = read(root, "clotho")
    found = suite.SuiteResult({"clotho": run(split, "clotho", Writes(split))}, {}, Settings())
    tasks = results.to_json(found)["benchmarks"]["clotho"]["tasks"]
    assert tasks["audio->caption"]["tokeniser"] == "ptb-python-1"
    assert tasks["audio->caption"]["n"] == tasks["audio->caption"]["asked"] == 3
    row = results.written(found)[0]
    assert row == {
        "benchmark": "clotho",
        "task": "audio->caption",
        "id": split.ids[0],
        "said": split.texts[split.ids[0]][0],
        "references": split.texts[split.ids[0]],
        "figure": found.benchmarks["clotho"].written["audio->caption"].lines[0].figure,
    }


def test_same_captions_of_two_items_are_right_for_both(root):
    split = read(root, "valor32k")
    texts = dict.fromkeys(split.ids, ("One and the same.",))
    same = dataclasses.replace(split, texts=texts)
    writer = Writes(same)
    row = dataclasses.replace(BENCHMARKS["vatex"], tasks=BENCHMARKS["vatex"].tasks[1:2], written=())
    found = suite.score(None, "valor32k", row, same, Settings(), writer=writer)
    np.testing.assert_array_equal(found.tasks["video->text"].outcome.rank, 1)

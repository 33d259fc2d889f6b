"""The published tables with our figures in their places."""

import pytest

from lb_jax.evaluation.benchmarks import probes, published
from lb_jax.evaluation.benchmarks import table as benchmarks
from tests.evaluation.measured import metrics

# name of a data set -> what is asked of it, by the words of the task
TASKS = {
    name: {str(task): task for task in (*row.tasks, *row.written)}
    for name, row in benchmarks.BENCHMARKS.items()
}
for name, row in probes.PROBES.items():
    TASKS.setdefault(name, {})[str(row.task)] = row.task


def cell(tables, title, row, column):
    one = next(one for one in tables if one.title.startswith(title))
    found = next(words for words in one.rows if words[0] == row)
    return found[one.columns.index(column)]


def test_ours_stands_beside_the_published():
    tables = published.tables(metrics())
    assert len(tables) == 10
    video = "Zero-shot text to video"
    assert cell(tables, video, "this model", "MSR-VTT") == "42.6 65.4 75.5"
    assert cell(tables, video, "LanguageBind_Video (LoRA, L/14, 3M)", "MSR-VTT") == "42.6 65.4 75.5"
    assert cell(tables, video, "this model", "MSVD") == "–"
    assert (
        cell(tables, "MMV, zero-shot text to video: R", "MMV, TSM-50x2", "YouCook2") == "– – 45.4"
    )
    assert cell(tables, "MMV, zero-shot text to video: median", "MMV, TSM-50x2", "MSR-VTT") == "38"
    assert cell(tables, "Zero-shot classification", "this model", "AS-A") == "27.7"
    assert cell(tables, "Joint", "MSR-VTT, A+V->T", "this model") == "42.0"
    assert cell(tables, "Joint", "MSR-VTT, V->T", "this model") == "41.4"  # without audio
    assert cell(tables, "Joint", "MSR-VTT, V->T", "LanguageBind") == "41.4"
    assert cell(tables, "README", "video x text", "this model") == "0.99 0.01 0 1"
    assert (
        cell(tables, "README", "video x text", "LanguageBind") == "0.9999 0.0001067 0.001326 0.9987"
    )


def test_tables_of_captions_and_answers_are_shown_where_one_was_run():
    found = metrics()
    written = {"CIDEr": 0.557, "BLEU-4": 0.089, "ROUGE-L": 0.308}
    task = {"n": 3500, "asked": 3500, "metrics": written, "chance": 0.1, "interval": {}}
    whole = {**found["benchmarks"]["msrvtt"], "items": 3500, "published": {"items": 3500}}
    found["benchmarks"]["valor32k"] = whole | {"tasks": {"audio+video->caption": task}}
    tables = published.tables(found)
    assert len(tables) == 11
    found["benchmarks"] = {"valor32k": found["benchmarks"]["valor32k"]}
    assert [one.title for one in published.tables(found)] == [tables[-1].title]
    captions = "VALOR, captions: BLEU-4 METEOR"
    assert cell(tables, captions, "this model", "VALOR-32K") == "8.9 – 30.8 55.7"
    assert cell(tables, captions, "VALOR-B", "VALOR-32K") == "8.9 14.8 30.8 55.7"
    assert cell(tables, captions, "this model", "MSVD") == "–"


def test_models_that_were_measured_stand_side_by_side():
    one, two = metrics() | {"family": "LanguageBind"}, metrics() | {"family": "ImageBind"}
    del two["benchmarks"]["audioset"]
    assert published.names(two) == ["this model (ImageBind)"]
    tables = published.tables(one, two)
    a, b = "A (LanguageBind)", "B (ImageBind)"
    video = "Zero-shot text to video"
    assert [cell(tables, video, name, "MSR-VTT") for name in (a, b)] == ["42.6 65.4 75.5"] * 2
    classes = "Zero-shot classification"
    assert [cell(tables, classes, name, "AS-A") for name in (a, b)] == ["27.7", "–"]
    joint = next(one for one in tables if one.title.startswith("Joint"))
    assert joint.columns == ("", "ImageBind", "LanguageBind", a, b)
    assert (joint.ours, joint.measured) == ("column", 2)
    assert cell(tables, "Joint", "MSR-VTT, V->T", b) == "41.4"


def test_the_tables_of_imagebind_are_shown_where_one_of_their_tasks_was_run():
    found = metrics() | {"family": "ImageBind"}
    found["benchmarks"] = {name: found["benchmarks"][name] for name in ("smoke",)}
    assert not any(one.title.startswith("ImageBind") for one in published.tables(found))
    task = {"n": 50000, "asked": 50000, "metrics": {"top1": 0.777}, "drop_one": {}}
    whole = {"items": 50000, "published": {"items": 50000}, "tasks": {"image->text": task}}
    found["benchmarks"]["imagenet"] = whole
    tables = published.tables(found)
    title = "ImageBind, zero-shot classes"
    assert cell(tables, title, "this model (ImageBind)", "IN1k") == "77.7"
    assert cell(tables, title, "ImageBind (Huge)", "SUN-D") == "35.1"
    assert cell(tables, title, "ImageBind (Huge), run again by others", "LLVIP") == "62.4"


@pytest.mark.parametrize(
    "found", [{"items": 998, "asked": 998}, {"problems": [{"kind": "unreadable", "name": "a"}]}]
)
def test_a_split_that_is_not_whole_is_marked(found):
    tables = published.tables(metrics(**found))
    assert cell(tables, "Zero-shot text", "this model", "MSR-VTT") == "42.6 65.4 75.5*"
    note = next(one.note for one in tables if one.title.startswith("Zero-shot text"))
    assert "not the whole published split" in note


def test_every_figure_that_the_paper_names_is_of_a_task_in_the_table():
    for one in published._published():
        assert len({len(row) for row in one["rows"]}) == 1
        for head in one["heads"]:
            asked = TASKS[head["benchmark"]]
            assert head["task"] in asked, head
            if "without" in head:
                assert asked[head["task"]].without(head["without"])
        wide = len(one["heads"]) + 1 if one["results"] == "columns" else len(one["columns"])
        assert all(len(row) == wide for row in one["rows"])

"""The published tables with our figures in their places."""

import io

import pytest
import rich.console

from lb_jax.evaluation.benchmarks import published as paper
from lb_jax.evaluation.benchmarks import table as benchmarks
from lb_jax.evaluation.reports import terminal


def metrics(*, items=1000, asked=1000, problems=()):
    def one(tasks, published=None):
        return {
            "items": items,
            "published": {"items": published, "captions": None},
            "problems": list(problems),
            "left_out": {},
            "health": {"video": {"effective_rank": 12.34, "uniformity": -2.0, "gap_to_text": 0.5}},
            "tasks": tasks,
        }

    def task(values, drop_one=None):
        headline = next(iter(values))
        return {
            "n": min(items, asked - len(problems)),
            "asked": asked,
            "metrics": values,
            "chance": 0.001,
            "interval": {headline: [values[headline] - 0.03, values[headline] + 0.03]},
            "drop_one": drop_one or {},
        }

    recall = {"R@1": 0.426, "R@5": 0.654, "R@10": 0.755, "median_rank": 2.0}
    joint = task({"R@1": 0.42}, {"audio": {"R@1": 0.414}, "video": {"R@1": 0.1}})
    return {
        "benchmarks": {
            "msrvtt": one({"text->video": task(recall), "audio+video->text": joint}, 1000),
            "audioset": one({"audio->text": task({"mAP": 0.277})}),
            "smoke": one({"video->text": task({"p00": 0.99, "p01": 0.01, "p10": 0.0, "p11": 1.0})}),
        },
        "left_out": {"msvd": "no folder msvd"},
    }


def cell(tables, title, row, column):
    one = next(one for one in tables if one.title.startswith(title))
    found = next(words for words in one.rows if words[0] == row)
    return found[one.columns.index(column)]


def test_ours_stands_beside_the_published():
    tables = paper.tables(metrics())
    assert len(tables) == 6
    video = "Zero-shot text to video"
    assert cell(tables, video, "this model", "MSR-VTT") == "42.6 65.4 75.5"
    assert cell(tables, video, "LanguageBind_Video (LoRA, L/14, 3M)", "MSR-VTT") == "42.6 65.4 75.5"
    assert cell(tables, video, "this model", "MSVD") == "–"
    assert cell(tables, "Zero-shot classification", "this model", "AS-A") == "27.7"
    assert cell(tables, "Joint", "MSR-VTT, A+V->T", "this model") == "42.0"
    assert cell(tables, "Joint", "MSR-VTT, V->T", "this model") == "41.4"  # without audio
    assert cell(tables, "Joint", "MSR-VTT, V->T", "LanguageBind") == "41.4"
    assert cell(tables, "README", "video x text", "this model") == "0.99 0.01 0 1"
    assert (
        cell(tables, "README", "video x text", "LanguageBind") == "0.9999 0.0001067 0.001326 0.9987"
    )


@pytest.mark.parametrize(
    "found", [{"items": 998, "asked": 998}, {"problems": [{"kind": "unreadable", "name": "a"}]}]
)
def test_a_split_that_is_not_whole_is_marked(found):
    tables = paper.tables(metrics(**found))
    assert cell(tables, "Zero-shot text", "this model", "MSR-VTT") == "42.6 65.4 75.5*"
    note = next(one.note for one in tables if one.title.startswith("Zero-shot text"))
    assert "not the whole published split" in note


def test_every_figure_that_the_paper_names_is_of_a_task_in_the_table():
    for one in paper._published():
        assert len({len(row) for row in one["rows"]}) == 1
        for head in one["heads"]:
            tasks = {str(task): task for task in benchmarks.BENCHMARKS[head["benchmark"]].tasks}
            assert head["task"] in tasks, head
            if "without" in head:
                assert tasks[head["task"]].without(head["without"])
        wide = len(one["heads"]) + 1 if one["results"] == "columns" else len(one["columns"])
        assert all(len(row) == wide for row in one["rows"])


def test_everything_is_printed_and_no_word_is_taken_for_markup():
    given = metrics(
        problems=[{"kind": "missing", "name": "[red]", "reason": "no file", "modality": "video"}]
    )
    console = rich.console.Console(file=io.StringIO())
    terminal.print_suite(given, console)
    shown = console.file.getvalue()
    for words in (
        "MSR-VTT",
        "42.6 65.4 75.5",
        "[red]",
        "no folder msvd",
        "42.6 (39.6 to 45.6)",
        "+32.0",
    ):
        assert words in shown, words

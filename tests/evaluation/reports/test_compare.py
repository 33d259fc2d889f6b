"""Two results side by side."""

import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.reports import compare


def write(folder, hits, *, items=None, scoring="cosine", name="msrvtt"):
    folder.mkdir()
    items = items or [f"v{i}" for i in range(len(hits))]
    task = {"n": len(hits), "metrics": {"R@1": float(np.mean(hits))}, "interval": {"R@1": [0, 1]}}
    metrics = {
        "settings": {"scoring": scoring},
        "benchmarks": {name: {"tasks": {"text->video": task}, "seconds": 3.0}},
        "left_out": {},
    }
    ranks = [1 if hit else 3 for hit in hits]
    figures = {"R@1": 1, "R@5": 5}
    outcome = {f"{name}/text->video": {"figures": figures, "items": items, "ranks": ranks}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "outcomes.json").write_text(json.dumps(outcome))
    return folder


def test_differences_have_intervals_of_the_items_that_both_have(tmp_path):
    generator = np.random.default_rng(0)
    a = generator.integers(0, 2, 200)
    b = np.where(generator.random(200) < 0.2, 1, a)  # never worse
    table = compare.compare(write(tmp_path / "a", a.tolist()), write(tmp_path / "b", b.tolist()))
    rows = {row[0]: row[1:] for row in table.rows}
    assert set(rows) == {"msrvtt text->video R@1"}
    first, second, gain, interval, items = rows["msrvtt text->video R@1"]
    assert (float(first), float(second)) == (a.mean(), b.mean())
    assert float(gain) == pytest.approx(b.mean() - a.mean())
    low, high = map(float, interval.split(" to "))
    assert 0 < low < float(gain) < high  # paired: the difference is sure
    assert items == "200"
    assert "Scored differently" not in table.note


def test_captions_of_an_item_count_as_one_item(tmp_path):
    a = write(tmp_path / "a", [1, 0, 1, 1], items=["x", "x", "y", "y"])
    b = write(tmp_path / "b", [1, 1, 1], items=["x", "y", "z"], scoring="dot")
    table = compare.compare(a / "metrics.json", b)
    row = next(row for row in table.rows if row[0].endswith("R@1"))
    assert row[-1] == "2"
    assert "Scored differently" in table.note


def test_a_figure_of_the_demo_has_no_interval(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(json.dumps({"zero_shot": {"t": {"top1": 0.5}}}))
    table = compare.compare(tmp_path / "a.json", tmp_path / "b.json")
    assert table.rows == (("zero_shot/t/top1", "0.5", "0.5", "+0", "–", "–"),)


def test_the_first_of_several_is_held_against_each_other(tmp_path):
    folders = [write(tmp_path / name, hits) for name, hits in (("x", [1, 0]), ("y", [1, 1]))]
    folders.append(write(tmp_path / "z", [1, 1], name="msvd"))
    folders.append(write(tmp_path / "w", [0, 0]))
    sides = [compare.read(folder) for folder in folders]
    tables = compare.differences(sides)
    assert [one.columns[1:4] for one in tables] == [("A", "B", "B - A"), ("A", "D", "D - A")]
    assert [one.rows[0][3] for one in tables] == ["+0.5", "-0.5"]
    assert tables[1].title == f"A {folders[0]}, D {folders[3]}"


def test_what_is_no_result_is_refused(tmp_path):
    good = write(tmp_path / "a", [1, 0])
    with pytest.raises(errors.DataError, match="cannot be read"):
        compare.compare(good, tmp_path / "nowhere")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(errors.DataError, match="no table of figures"):
        compare.compare(good, tmp_path / "list.json")
    other = write(tmp_path / "b", [1, 0])
    (other / "outcomes.json").write_text('{"msrvtt/text->video": {"hits": [1]}}')
    with pytest.raises(errors.DataError, match="has no figures, items and ranks"):
        compare.compare(good, other)
    with pytest.raises(errors.DataError, match="no figure in common"):
        compare.compare(good, write(tmp_path / "c", [1, 0], name="msvd"))

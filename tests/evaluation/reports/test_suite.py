"""The page of a suite: what is shown of the files."""

from pathlib import Path

from lb_jax.evaluation.benchmarks.splits import Split
from lb_jax.evaluation.benchmarks.suite import BenchmarkResult, SuiteResult
from lb_jax.evaluation.benchmarks.table import Settings
from lb_jax.evaluation.reports import suite
from lb_jax.media.clips import Clip
from tests.evaluation.measured import metrics


def test_depth_is_shown_in_the_unit_of_the_model():
    clip = Clip(Path("a.png"))
    split = Split(("a",), {"depth": {"a": clip}, "image": {"a": clip}})
    one = BenchmarkResult(
        title="NYU",
        split=split,
        published={"items": None},
        classes=(),
        names=(),
        tasks={},
        left_out={},
        problems=(),
        samples={},
        seconds=0.0,
    )
    found = suite.in_unit(SuiteResult({"nyu_depth": one}, {}, Settings()), "1/5000")
    media = found.benchmarks["nyu_depth"].split.media
    assert media["depth"]["a"].depth_unit == "1/5000"
    assert media["image"]["a"] == clip


def test_models_side_by_side_are_one_page(tmp_path):
    measured = [metrics() | {"family": name, "model": name.lower()} for name in ("One", "Two")]
    suite.write_beside(tmp_path / "report.html", measured, [])
    page = (tmp_path / "report.html").read_text()
    for words in ("A (One)", "B (Two)", "<dd>one</dd>", "Joint retrieval"):
        assert words in page
    joint = page.partition("Joint retrieval")[2]
    assert joint.count('<td class="number">42.0</td>') == 2  # of both, in the row of A+V->T

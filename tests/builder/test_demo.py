"""The demo in small: each fault is found by the stage that should, and nothing good is refused."""

import json

import pytest

from lb_jax.builder.stages import STAGES
from lb_jax.cli import corpus_demo, main
from lb_jax.demo.raw_films import FAULTS
from lb_jax.training import sheets
from tests.goldens import ROOT

ITEMS, SEED = 40, 103  # a fault of each kind


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    sheet = sheets.load_sheet(corpus_demo.SHEET)
    for name in sheet.stages:
        for package in STAGES[name].packages:
            pytest.importorskip(package.module)
    out = tmp_path_factory.mktemp("demo")
    return corpus_demo.run(out, seed=SEED, items=ITEMS), out


def test_each_fault_is_found_by_its_stage(done):
    metrics, _ = done
    assert set(metrics["faults"]) == set(FAULTS)
    wrong = {
        fault: row
        for fault, row in metrics["faults"].items()
        if (row["films"], row["right"]) != (1, 1)
    }
    assert wrong == {}


def test_nothing_good_is_refused(done):
    metrics, _ = done
    assert (metrics["good"], metrics["refused"], metrics["by"]) == (32, 0.0, {})


def test_what_is_kept_is_a_clean_corpus(done, capsys):
    _, out = done
    assert main.main(["data", "check", str(out / "corpus" / "annotation.json")]) == 0
    told = capsys.readouterr().out
    assert "32 rows" in told
    assert "bad:" not in told


def test_metrics_and_report_are_written(done):
    metrics, out = done
    assert json.loads((out / "metrics.json").read_text())["found"] == metrics["found"] == 1.0
    page = (out / "report.html").read_text()
    assert "stages/overlay.html" in page
    assert (out / "stages" / "overlay.html").is_file()


def test_faults_name_stages_of_the_sheet():
    sheet = sheets.load_sheet(str(ROOT / "configs" / "corpus_demo.py"))
    assert {one.stage for one in FAULTS.values()} <= set(sheet.stages)

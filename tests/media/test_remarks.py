"""Warnings of decoding in a check of a corpus, in training and in the server's decoders."""

import json

import numpy as np
import pytest

from lb_jax.cli import data_check
from lb_jax.core import errors
from lb_jax.corpora import check, image_folder
from lb_jax.corpora.quarantine import BadSample, Quarantine, Remarks, remarks_of
from lb_jax.feed import pipeline
from lb_jax.media import specs
from lb_jax.serve import decoding
from lb_jax.serve.limits import Limits
from tests.media import media_files

SPEC = specs.ThermalSpec(size=16)
PALETTE = media_files.picture(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
GREY = media_files.picture(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8))


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    for name, content in (("0.png", PALETTE), ("1.png", PALETTE), ("2.png", GREY)):
        (tmp_path / "in" / "a" / name).write_bytes(content)
    return image_folder.ImageFolder(tmp_path / "in", "thermal")


def test_a_check_lists_them(corpus):
    report = check.check(corpus, {"thermal": SPEC}, processes=1)
    assert not report.bad
    assert [one.path[-5:] for one in report.remarks] == ["0.png", "1.png"]
    assert len(report.as_dict()["remarks"]) == 2
    (line,) = [one for one in data_check.lines(report, [], 8, None) if "warning" in one]
    assert "0.png and 1 more: is a rendering in false colours" in line


def test_training_lists_each_once_and_prints_the_first_of_a_kind(corpus, tmp_path, capsys):
    def encode(text):
        return np.zeros(4, np.int32), False

    loader = pipeline.Loader([(corpus, 1.0)], "thermal", SPEC, "caption", encode, seed=0)
    quarantine = Quarantine(tmp_path / "quarantine.jsonl", 0.5)
    batches = pipeline.Batches(
        pipeline.BatchLoader({"thermal": loader}, {"thermal": 3}), quarantine
    )
    for _ in range(3):
        next(batches)
    batches.close()
    rows = [json.loads(line) for line in (tmp_path / "warnings.jsonl").read_text().splitlines()]
    assert sorted(row["path"][-5:] for row in rows) == ["0.png", "1.png"]
    assert capsys.readouterr().err.count("lb-jax: warning: ") == 1


def test_the_servers_decoders_hand_them_on():
    pool = decoding.Pool(Limits(), 1)
    try:
        job = decoding.Job("preprocess", "thermal", SPEC, PALETTE)
        with pytest.warns(errors.DataWarning, match=r"^<thermal, \d+ bytes>: .*false colours"):
            assert pool._work(job).shape == (16, 16, 3)
    finally:
        pool.close()


def test_a_list_goes_on_and_forgets_files_that_are_read_again(tmp_path):
    path = remarks_of(tmp_path / "run.quarantine.jsonl")
    assert path.name == "run.warnings.jsonl"
    first = [BadSample("depth", name, f"{n} m is far") for n, name in enumerate("ab")]
    assert Remarks(path).record([*first, first[0]]) == first[:1]
    again = Remarks(path, again=["a"])
    assert not again.record([first[1]])
    assert again.record([first[0]]) == first[:1]
    assert [json.loads(line)["path"] for line in path.read_text().splitlines()] == ["b", "a"]

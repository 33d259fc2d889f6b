"""Whole runs on real files.

Resume is bitwise, wrong work directories are refused, a bad file is quarantined.
"""

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from lb_jax.convert.weights import open_weights
from lb_jax.core import checkpoint, errors, logging
from lb_jax.core import config as config_lib
from lb_jax.training import config as train_config
from lb_jax.training import loop, replay
from lb_jax.training.config import SourceConfig


def figures(workdir):
    """Metric rows without those of speed."""
    return [
        {name: value for name, value in row.items() if not name.startswith("perf/")}
        for row in logging.read_metrics(workdir / "metrics.jsonl")
    ]


def test_bad_file_is_quarantined_and_the_run_goes_on(tiny_run, corpus_dir, tmp_path):
    root = tmp_path / "corpus"
    shutil.copytree(corpus_dir, root)
    name = next(iter(json.loads((root / "train.json").read_text())))
    bad = root / "scenes_audio" / f"{name}.wav"
    bad.write_bytes(bad.read_bytes()[:3000])
    data = dataclasses.replace(
        tiny_run.data, sources={"main": SourceConfig(str(root / "train.json"))}, max_bad_rate=0.5
    )
    cfg = dataclasses.replace(
        tiny_run, data=data, modalities={"audio": tiny_run.modalities["audio"]}, steps=8
    )
    cfg = dataclasses.replace(
        cfg, trainable=tuple(rule for rule in cfg.trainable if "video" not in rule[0])
    )
    loop.run(cfg, tmp_path / "run")
    rows = [
        json.loads(line)
        for line in (tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()
    ]
    assert [(row["modality"], row["path"]) for row in rows] == [("audio", str(bad))]
    assert rows[0]["reason"]
    assert logging.read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["bad_samples"] >= 1


def test_configs_survive_the_config_dict(tiny_run):
    assert train_config.from_config_dict(train_config.as_config_dict(tiny_run)) == tiny_run
    assert (
        train_config.from_config_dict(json.loads(json.dumps(config_lib.to_dict(tiny_run))))
        == tiny_run
    )


def test_steps_that_are_not_finite_are_skipped_kept_and_end_the_run(small_run, tmp_path):
    optim = dataclasses.replace(small_run.optim, lr=1e30, warmup_steps=0)
    cfg = dataclasses.replace(small_run, optim=optim, steps=8, save_every=1, max_skipped=2)
    with pytest.raises(errors.TrainingError, match=r"max_skipped=2\..*another --workdir"):
        loop.run(cfg, tmp_path / "run")
    rows = figures(tmp_path / "run")
    skipped = [
        row["step"]
        for before, row in itertools.pairwise(rows)
        if row["skipped"] > before["skipped"]
    ]
    assert [row["skipped"] for row in rows][-1] == 3
    kept = sorted(one.name for one in (tmp_path / "run" / "nonfinite").iterdir())
    assert kept == [f"step-{number}.npz" for number in skipped]
    with np.load(tmp_path / "run" / "nonfinite" / kept[0]) as batch:
        shapes = {name: batch[name].shape[0] for name in batch.files}
    assert shapes == {
        f"{name}/{side}": size
        for name, size in cfg.batch_sizes.items()
        for side in ("media", "text")
    }
    found = replay.replay(tmp_path / "run", skipped[-1])
    assert not found["inputs"]
    assert found["losses"].keys() == cfg.batch_sizes.keys()
    assert found["gradients"]  # the state of that step is there, so it happens again
    with pytest.raises(errors.ConfigError, match=r"has no batch of step 99; it has \d"):
        replay.replay(tmp_path / "run", 99)


def test_a_damaged_state_is_told_and_the_run_ends_as_the_unbroken_one(small_run, tmp_path, capsys):
    cfg = dataclasses.replace(small_run, steps=4, save_every=2)
    loop.run(cfg, tmp_path / "unbroken")
    shutil.copytree(tmp_path / "unbroken", tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "checkpoint")
    files = [one for one in (tmp_path / "broken" / "states" / "4").rglob("*") if one.is_file()]
    max(files, key=lambda one: one.stat().st_size).unlink()
    capsys.readouterr()
    loop.run(cfg, tmp_path / "broken")
    assert "state of step 4 is damaged and is not used" in capsys.readouterr().err
    digests = [open_weights(tmp_path / name).digest for name in ("unbroken", "broken")]
    assert digests[0] == digests[1]
    assert figures(tmp_path / "broken") == figures(tmp_path / "unbroken")


def test_half_a_checkpoint_is_written_again(small_run, tmp_path):
    cfg = dataclasses.replace(small_run, steps=2, save_every=1)
    folder = loop.run(cfg, tmp_path / "run")
    before = (folder / checkpoint.WEIGHTS).read_bytes()
    (folder / checkpoint.WEIGHTS).unlink()
    loop.run(cfg, tmp_path / "run")
    assert (folder / checkpoint.WEIGHTS).read_bytes() == before


def test_text_cache_gives_the_same_losses(small_run, tmp_path):
    cfg = dataclasses.replace(small_run, steps=4)
    cached = dataclasses.replace(
        cfg, data=dataclasses.replace(cfg.data, text_cache=str(tmp_path / "captions"))
    )
    for name, one in (("off", cfg), ("on", cached)):
        loop.run(one, tmp_path / name)
    off, on = (
        [
            [row[f"loss/{modality}"] for modality in cfg.modalities]
            for row in logging.read_metrics(tmp_path / name / "metrics.jsonl")
        ]
        for name in ("off", "on")
    )
    np.testing.assert_allclose(on[0], off[0], atol=1e-6, rtol=0)  # the same parameters
    np.testing.assert_allclose(on, off, rtol=1e-6)  # and after steps that rounding told apart


def test_text_cache_of_a_text_tower_that_trains_is_refused(tiny_run, tmp_path):
    data = dataclasses.replace(tiny_run.data, text_cache=str(tmp_path / "captions"))
    with pytest.raises(errors.ConfigError, match="text_cache needs a frozen text tower"):
        loop.run(dataclasses.replace(tiny_run, data=data), tmp_path / "run")


WORKERS = """
import json, pathlib, sys
from lb_jax.training import config, loop
if __name__ == "__main__":
    cfg = config.from_config_dict(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    loop.run(cfg, pathlib.Path(sys.argv[2]))
"""


def test_worker_processes_decode_for_a_program_without_absl(small_run, tmp_path):
    data = dataclasses.replace(small_run.data, workers=1)
    cfg = dataclasses.replace(small_run, data=data, steps=2)
    (tmp_path / "run.json").write_text(json.dumps(config_lib.to_dict(cfg)))
    (tmp_path / "run.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", tmp_path / "run.json", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("train run: ") for line in done.stderr.splitlines()), done.stderr

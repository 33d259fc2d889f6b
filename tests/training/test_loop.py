"""Whole runs on real files.

Resume is bitwise, wrong work directories are refused, a bad file is quarantined.
"""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from lb_jax.convert.weights import open_weights
from lb_jax.core import checkpoint, errors, logging
from lb_jax.core import config as config_lib
from lb_jax.training import config as train_config
from lb_jax.training import loop
from lb_jax.training.config import SourceConfig

# Runs the config at argv[1] in the work directory argv[2] and kills itself as
# soon as step argv[3] begins.
CHILD = """
import json, os, pathlib, signal, sys
from lb_jax.data import pipeline
from lb_jax.training import config, loop
cfg = config.from_config_dict(json.loads(pathlib.Path(sys.argv[1]).read_text()))
taken, original = 0, pipeline.Batches.__next__
def counted(self):
    global taken
    if taken == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    taken += 1
    return original(self)
pipeline.Batches.__next__ = counted
loop.run(cfg, pathlib.Path(sys.argv[2]))
"""


def child(cfg, workdir, step):
    path = workdir.parent / "cfg.json"
    path.write_text(json.dumps(config_lib.to_dict(cfg)))
    return subprocess.run(
        [sys.executable, "-c", CHILD, path, workdir, step],
        capture_output=True,
        text=True,
        check=False,
    )


def test_killed_run_ends_bitwise_as_the_unbroken_one(tiny_run, tmp_path):
    cfg = dataclasses.replace(tiny_run, data=dataclasses.replace(tiny_run.data, cache="memory"))
    loop.run(cfg, tmp_path / "unbroken")
    for step in ("3", "2"):  # from the start to step 3, then two steps further
        killed = child(cfg, tmp_path / "killed", step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    loop.run(cfg, tmp_path / "killed")
    digests = [open_weights(tmp_path / name).digest for name in ("unbroken", "killed")]
    assert digests[0] == digests[1]
    rows = [
        logging.read_metrics(tmp_path / name / "metrics.jsonl") for name in ("unbroken", "killed")
    ]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == list(range(cfg.steps))


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


def test_workdir_of_another_config_is_refused(tiny_run, tmp_path):
    loop.claim_workdir(tiny_run, tmp_path / "run")
    other = dataclasses.replace(
        tiny_run, batch_size=16, optim=dataclasses.replace(tiny_run.optim, lr=1.0)
    )
    with pytest.raises(errors.ConfigError, match=r"other settings: batch_size, optim\.lr"):
        loop.claim_workdir(other, tmp_path / "run")
    loop.claim_workdir(
        dataclasses.replace(tiny_run, log_every=7), tmp_path / "run"
    )  # alters no result


def test_foreign_folder_is_refused(tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.ConfigError, match="holds no run"):
        loop.claim_workdir(tiny_run, tmp_path)


def test_configs_survive_the_config_dict(tiny_run):
    assert train_config.from_config_dict(train_config.as_config_dict(tiny_run)) == tiny_run
    assert (
        train_config.from_config_dict(json.loads(json.dumps(config_lib.to_dict(tiny_run))))
        == tiny_run
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_is_never_saved(tiny_run, tmp_path):
    optim = dataclasses.replace(tiny_run.optim, lr=1e30, warmup_steps=0)
    cfg = dataclasses.replace(tiny_run, optim=optim, steps=8, save_every=1, log_every=100)
    with pytest.raises(errors.TrainingError, match=r"loss is (nan|inf).*another --workdir"):
        loop.run(cfg, tmp_path / "run")
    saved = [int(one.name) for one in (tmp_path / "run" / "states").iterdir()]
    assert max(saved, default=0) < 8


def test_half_a_checkpoint_is_written_again(tiny_run, tmp_path):
    cfg = dataclasses.replace(tiny_run, steps=2, save_every=1)
    folder = loop.run(cfg, tmp_path / "run")
    before = (folder / checkpoint.WEIGHTS).read_bytes()
    (folder / checkpoint.WEIGHTS).unlink()
    loop.run(cfg, tmp_path / "run")
    assert (folder / checkpoint.WEIGHTS).read_bytes() == before


def test_text_cache_gives_the_same_losses(tiny_run, tmp_path):
    cfg = dataclasses.replace(tiny_run, paraphrase=None, steps=4)
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


def test_worker_processes_decode_for_a_program_without_absl(tiny_run, tmp_path):
    data = dataclasses.replace(tiny_run.data, workers=1)
    cfg = dataclasses.replace(
        tiny_run, data=data, modalities={"audio": tiny_run.modalities["audio"]}, steps=2
    )
    cfg = dataclasses.replace(
        cfg, trainable=tuple(rule for rule in cfg.trainable if "video" not in rule[0])
    )
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

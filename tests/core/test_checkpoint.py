"""Inference checkpoints: whole or absent, read back bit by bit, damage named."""

import errno
import os

import numpy as np
import pytest

from lb_jax.core import checkpoint, errors, paths

PARAMS = {
    "base": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "logit_scale": {"video": np.float32(2.5)},
}


def test_round_trip_is_bitwise(tmp_path):
    checkpoint.save_model(tmp_path / "m", PARAMS, {"model": {"a": 1}})
    read = checkpoint.load_params(tmp_path / "m")
    assert checkpoint.digest(read) == checkpoint.digest(PARAMS)
    assert checkpoint.load_config(tmp_path / "m")["model"] == {"a": 1}


def test_only_wanted_tensors_are_read(tmp_path):
    checkpoint.save_model(tmp_path / "m", PARAMS, {})
    assert list(
        paths.flatten(checkpoint.load_params(tmp_path / "m", lambda p: p.startswith("base")))
    ) == ["base/kernel"]


def test_replacing_leaves_no_debris(tmp_path):
    for _ in range(2):
        checkpoint.save_model(tmp_path / "m", PARAMS, {})
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_truncated_weights_are_an_error_and_not_complete(tmp_path):
    checkpoint.save_model(tmp_path / "m", PARAMS, {})
    assert checkpoint.is_complete(tmp_path / "m")
    weights = tmp_path / "m" / checkpoint.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4])
    assert not checkpoint.is_complete(tmp_path / "m")
    with pytest.raises(errors.CheckpointError, match=r"model\.safetensors: cannot be read"):
        checkpoint.load_params(tmp_path / "m")


def test_foreign_folder_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(
        errors.CheckpointError, match=r"expected config\.json.*found \['notes\.txt'\]"
    ):
        checkpoint.load_config(tmp_path)


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path):
    left = tmp_path / f".m.partial-{os.getpid()}"
    left.mkdir()
    (left / "rest").write_text("x")
    checkpoint.save_model(tmp_path / "m", {"a": np.ones(2)}, {"model": {}})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_failed_write_leaves_the_old_checkpoint(tmp_path):
    folder = tmp_path / "m"
    checkpoint.save_model(folder, {"a": np.ones(2)}, {"model": {}})
    with (
        pytest.raises(errors.CheckpointError, match=r"cannot be written \(No space"),
        checkpoint.replacing(folder),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert checkpoint.load_params(folder)["a"].tolist() == [1, 1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]

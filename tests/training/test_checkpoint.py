"""Saved states: read on any mesh, damage told and stepped over, a full disk told."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.training import program, sharding
from lb_jax.training.checkpoint import StateStore

DATA = {"batch": 7, "seen": 9, "bad": 0, "truncated": 1}
FROZEN = "abc"


def state(mesh, scale=1.0):
    """As a run has it: a stacked kernel that is split, a factor that is not, scalars."""
    rng = np.random.default_rng(0)
    kernel = (scale * rng.normal(size=(3, 64, 64))).astype(np.float32)
    factor = rng.normal(size=(3, 64, 2)).astype(np.float32)
    params = {"base": {"q_proj": {"kernel": kernel, "lora_a": factor}}, "s": np.float32(scale)}
    whole = {"params": params, "step": np.int32(5)}
    return program.place(whole, mesh)


def mesh(data=1, fsdp=1, tensor=1):
    count = data * fsdp * tensor
    shape = {"data": data, "fsdp": fsdp, "tensor": tensor}
    return sharding.make_mesh(shape, devices=jax.devices()[:count])


def saved(folder, *steps):
    store = StateStore(folder, keep=5)
    for step in steps:
        store.save(step, state(mesh(), step), DATA | {"batch": step}, FROZEN)
    store.close()


def check(restored, step, on):
    found, tree, data = restored
    assert found == step
    assert data == DATA | {"batch": step}
    jax.tree.map(np.testing.assert_array_equal, tree, state(on, step))


def test_a_state_is_restored_onto_another_mesh(tmp_path):
    saved(tmp_path, 3)
    for shape in ({}, {"data": 8}, {"fsdp": 8}, {"data": 2, "fsdp": 2, "tensor": 2}):
        like = state(mesh(**shape), 0.0)
        restored = StateStore(tmp_path, keep=5).restore(like, FROZEN)
        check(restored, 3, mesh(**shape))
        leaf = restored[1]["params"]["base"]["q_proj"]["kernel"]
        assert leaf.sharding == like["params"]["base"]["q_proj"]["kernel"].sharding


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_who_only_reads_changes_nothing_beside_a_run_that_writes(tmp_path, capsys):
    folder = tmp_path / "states"
    saved(folder, 1, 2)
    (folder / "3.orbax-checkpoint-tmp").mkdir()  # a state that the run is writing
    for one in (folder / "2").rglob("*"):
        if one.is_file():
            cut(one)
    check(StateStore(folder, keep=None).restore(state(mesh(), 0.0), FROZEN), 1, mesh())
    assert "state of step 2 is not used" in capsys.readouterr().err
    assert sorted(one.name for one in folder.iterdir()) == ["1", "2", "3.orbax-checkpoint-tmp"]
    assert [one.name for one in tmp_path.iterdir()] == ["states"]


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink], ids=lambda one: one.__name__)
def test_no_damage_to_any_file_changes_what_is_restored(tmp_path, damage, capsys):
    saved(tmp_path / "states", 1, 2)
    folder = tmp_path / "states" / "2"
    names = [one.relative_to(folder) for one in folder.rglob("*") if one.is_file()]
    told = 0
    for i, name in enumerate(names):
        whole = tmp_path / f"{i}" / "states"
        shutil.copytree(tmp_path / "states", whole)
        damage(whole / "2" / name)
        found = StateStore(whole, keep=5).restore(state(mesh(), 0.0), FROZEN)
        assert found[0] in (1, 2), name
        check(found, found[0], mesh())
        if found[0] == 1:
            told += 1
            assert "state of step 2 is damaged and is not used" in capsys.readouterr().err
            assert (tmp_path / f"{i}" / "damaged" / "2").is_dir()
    assert told >= 3


def test_values_that_were_changed_are_noticed(tmp_path, monkeypatch, capsys):
    """Damage that every file format below lets pass."""
    saved(tmp_path / "states", 1)
    monkeypatch.setattr("lb_jax.training.checkpoint._hashes", lambda state: {"step": [0, 0]})
    saved(tmp_path / "states", 2)
    monkeypatch.undo()
    check(StateStore(tmp_path / "states", keep=5).restore(state(mesh(), 0.0), FROZEN), 1, mesh())
    assert "its arrays were changed: params/" in capsys.readouterr().err


def test_without_a_good_state_the_store_says_so(tmp_path):
    saved(tmp_path / "states", 1, 2)
    copied = tmp_path / "copy" / "states"  # TensorStore remembers what it read in this process
    shutil.copytree(tmp_path / "states", copied)
    for path in copied.rglob("manifest.ocdbt"):
        path.unlink()
    with pytest.raises(errors.CheckpointError, match=r"no state .* can be read.*--workdir"):
        StateStore(copied, keep=5).restore(state(mesh(), 0.0), FROZEN)
    assert sorted(one.name for one in (tmp_path / "copy" / "damaged").iterdir()) == ["1", "2"]


def test_an_empty_store_has_nothing(tmp_path):
    assert StateStore(tmp_path / "states", keep=5).restore(state(mesh()), FROZEN) is None


def test_states_of_other_frozen_parameters_are_refused_and_stay(tmp_path):
    saved(tmp_path / "states", 1)
    with pytest.raises(errors.CheckpointError, match=r"config\.init_from must be"):
        StateStore(tmp_path / "states", keep=5).restore(state(mesh(), 0.0), "other")
    assert (tmp_path / "states" / "1").is_dir()


# Files of this process may not grow beyond 20 kB: what a full disk does, without one.
FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.training import test_checkpoint
from lb_jax.core import errors
from lb_jax.training.checkpoint import StateStore
store = StateStore(sys.argv[1], keep=5)
one = test_checkpoint.state(test_checkpoint.mesh())
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    store.save(9, one, {}, "abc")
    store.close()
except errors.CheckpointError as error:
    print(error)
"""


def test_a_full_disk_is_told_with_the_state_that_is_left(tmp_path):
    saved(tmp_path / "states", 4)
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "states"],
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout.strip()
    assert "cannot be written" in told, done.stderr
    assert "the newest one is of step 4" in told
    assert "Make room" in told
    assert "\n" not in told
    check(StateStore(tmp_path / "states", keep=5).restore(state(mesh(), 0.0), FROZEN), 4, mesh())

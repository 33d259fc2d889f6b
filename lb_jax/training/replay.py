"""A step that was not finite, once more.

Computes loss and gradient of the batch that the run kept, and names what is not finite: inputs,
losses by modality, gradients by path. The parameters are those of the newest state up to that step.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lb_jax.core import checkpoint, errors, paths
from lb_jax.training import config as train_config
from lb_jax.training import families, sharding
from lb_jax.training import program as program_lib
from lb_jax.training.checkpoint import StateStore
from lb_jax.training.record import NONFINITE


def replay(workdir: Path, step: int) -> dict[str, Any]:
    """What is not finite in a step that a run skipped.

    Returns:
      `{"state": step of the parameters, "inputs": names, "losses": {modality: loss}, "gradients":
      paths}`; names and paths are of what is not finite.

    Raises:
      ConfigError: for a folder that is no run's, or a step whose batch was not kept.
    """
    folder = Path(workdir) / NONFINITE
    kept = sorted(folder.glob(f"step-{step}.npz")) or sorted(
        folder.glob(f"step-{step}-*.npz"), key=lambda one: int(one.stem.split("-")[2])
    )
    if not kept:
        there = ", ".join(sorted({one.stem.split("-")[1] for one in folder.glob("step-*.npz")}))
        raise errors.ConfigError(
            f"{folder} has no batch of step {step}; it has {there or 'none'}. Give one of these."
        )
    cfg = train_config.from_config_dict(checkpoint.read_json(Path(workdir) / "config.json"))
    hosts = [np.load(one) for one in kept]  # one of each, in order
    batch = {name: np.concatenate([one[name] for one in hosts]) for name in hosts[0].files}
    if any(name.endswith("/text") and one.dtype.kind == "i" for name, one in batch.items()):
        # resumed without the cache that it began with
        cfg = dataclasses.replace(cfg, data=dataclasses.replace(cfg.data, text_cache=""))
    parts = jax.device_count() * cfg.accumulate  # this machine need not be the run's
    whole = all(size % parts == 0 for size in cfg.batch_sizes.values())
    devices = jax.devices() if whole else jax.devices()[:1]
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1}, devices)
    family = families.of(cfg)
    model = family.make_model(cfg, family.build(cfg)[0])
    trainable, frozen = paths.partition(family.initial_params(cfg, model), cfg.trainable)
    held = family.held(frozen, cfg)
    program = program_lib.make_program(cfg, mesh, trainable, held)
    state = program_lib.place(program.initial_state(trainable), mesh)
    store = StateStore(Path(workdir) / "states", keep=None)
    restored = store.restore(state, checkpoint.digest(frozen), at_most=step)
    if restored:
        state = restored[1]
    key = jax.random.fold_in(jax.random.key(cfg.seed), step)
    (_, metrics), gradient = jax.jit(program.gradient)(
        state["params"],
        program_lib.place(held, mesh),
        jax.tree.map(lambda one: sharding.put_whole(one, mesh), paths.unflatten(batch)),
        key,
    )
    return {
        "state": restored[0] if restored else 0,
        "inputs": [name for name, one in batch.items() if not np.isfinite(one).all()],
        "losses": {
            name.removeprefix("loss/"): float(value)
            for name, value in metrics.items()
            if name.startswith("loss/")
        },
        "gradients": [
            path
            for path, leaf in paths.flatten(jax.device_get(gradient)).items()
            if not np.isfinite(leaf).all()
        ],
    }

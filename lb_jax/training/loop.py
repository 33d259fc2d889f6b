"""The run from start to finish: build, resume, step, log, save, export.

A work directory holds `config.json`, `metrics.jsonl`, `quarantine.jsonl`, `states/` (to resume
from) and at the end `checkpoint/` (for inference). Running the same command again resumes a killed
run, and ends with the same parameters bit by bit.
"""

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import checkpoint, errors, logging, paths
from lb_jax.core import config as config_lib
from lb_jax.data import pipeline
from lb_jax.data.quarantine import Quarantine
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import config as train_config
from lb_jax.training import data as data_lib
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training import recipe, sharding, worker
from lb_jax.training import step as step_lib
from lb_jax.training.checkpoint import StateStore
from lb_jax.training.config import TrainConfig


def run(cfg: TrainConfig, workdir: Path) -> Path:
    """Trains, and returns the folder of the inference checkpoint.

    Raises:
      ConfigError: when the work directory belongs to a run with other settings.
      DataError: when the annotations cannot be used or too many samples are bad.
      CheckpointError: when what the run starts or resumes from cannot be used.
      TrainingError: when the loss is not finite.
    """
    workdir = Path(workdir)
    # 1. Settings and data are checked before anything is computed or written.
    model_cfg, preprocess = recipe.build(cfg)
    loaders = data_lib.loaders(cfg, preprocess)
    check_workdir(cfg, workdir)
    finished = workdir / "checkpoint"
    if checkpoint.is_complete(finished):
        return finished

    # 2. Model, starting parameters, and which of them train.
    mesh = sharding.make_mesh(config_lib.to_dict(cfg.mesh))
    sharding.require_divisible(cfg.batch_sizes, mesh)
    model = LanguageBind(model_cfg, dtype=jnp.dtype(cfg.dtype), remat=cfg.remat)
    trainable, frozen = paths.partition(recipe.initial_params(cfg, model), cfg.trainable)
    frozen_digest = checkpoint.digest(frozen)
    if cfg.data.text_cache:
        data_lib.use_text_cache(cfg, model, frozen, trainable, loaders)
    schedule = optimizer_lib.warmup_cosine(
        lr=cfg.optim.lr, warmup_steps=cfg.optim.warmup_steps, steps=cfg.steps
    )
    names = ("b1", "b2", "eps", "weight_decay", "clip_norm")
    optimizer = optimizer_lib.make_optimizer(
        trainable, schedule, **{name: getattr(cfg.optim, name) for name in names}
    )
    state = {"params": trainable, "opt": optimizer.init(trainable), "step": jnp.int32(0)}
    state = jax.device_put(state, sharding.tree_shardings(state, mesh))
    frozen = jax.device_put(frozen, sharding.tree_shardings(frozen, mesh))

    # 3. Data, and the position to go on from. The folder is not claimed before, or a run that
    # cannot start would keep it.
    claim_workdir(cfg, workdir)
    process = jax.process_index(), jax.process_count()
    batches = pipeline.Batches(
        pipeline.BatchLoader(loaders, cfg.batch_sizes, threads=cfg.data.threads, process=process),
        Quarantine(workdir / "quarantine.jsonl", cfg.data.max_bad_rate),
        workers=cfg.data.workers,
        start_worker=worker.start,
        put=functools.partial(put_batch, mesh=mesh),
    )
    store = StateStore(workdir / "states", keep=cfg.keep)
    first = store.latest or 0
    if first:
        state, position = store.restore(first, state, frozen_digest)
        batches.set_state(position)
    metrics_file = logging.MetricsFile(workdir / "metrics.jsonl", first_step=first)

    # 4. The compiled step.
    loss = step_lib.make_loss(
        model, {name: one.patch_dropout for name, one in cfg.modalities.items()}
    )
    step = compile_step(step_lib.make_step(loss, optimizer, schedule), state, frozen, mesh)

    # 5. The loop. A state is saved with the data position BEFORE the next batch is taken, so
    # position and parameters belong together.
    key = jax.device_put(jax.random.key(cfg.seed), sharding.replicated(mesh))
    progress = logging.Progress(f"train {workdir.name}", cfg.steps, done=first, unit="step")
    with contextlib.closing(store), contextlib.closing(batches), progress:
        note, metrics = "", {}
        for number in range(first, cfg.steps):
            if number > first and number % cfg.save_every == 0:
                require_finite(metrics["loss"], number - 1, workdir)  # a state is good or not saved
                store.save(number, state, batches.get_state(), frozen_digest)
            state, metrics = step(state, frozen, next(batches), key)
            if number % cfg.log_every == 0 or number == cfg.steps - 1:
                row = {
                    "step": number,
                    **{name: float(value) for name, value in metrics.items()},
                    "bad_samples": batches.quarantine.bad,
                    "truncated_captions": batches.truncated,
                }
                metrics_file.write(row)
                require_finite(row["loss"], number, workdir)
                note = f"loss {row['loss']:.3f}"
            progress.advance(note=note)

    # 6. The self-contained checkpoint for inference.
    params = jax.device_get(paths.overlay(frozen, state["params"]))
    params["logit_scale"] = {name: params["logit_scale"][name] for name in model.modalities}
    checkpoint.save_model(
        finished,
        params,
        {"model": config_lib.to_dict(model_cfg), "preprocess": config_lib.to_dict(preprocess)},
    )
    return finished


def require_finite(loss: Any, number: int, workdir: Path) -> None:
    """Stops a run whose loss is not a number.

    Raises:
      TrainingError: naming the step.
    """
    if not np.isfinite(loss):
        raise errors.TrainingError(
            f"loss is {float(loss)} at step {number} of {workdir}; start again in another "
            "--workdir with a lower config.optim.lr, a longer config.optim.warmup_steps or "
            "config.optim.clip_norm=1."
        )


def check_workdir(cfg: TrainConfig, workdir: Path) -> None:
    """Checks that the work directory is this run's, or free.

    Raises:
      ConfigError: naming the settings that differ from those the directory was made with.
    """
    path, ours = workdir / "config.json", config_lib.to_dict(cfg)
    if path.is_file():
        theirs = checkpoint.read_json(path)
        if not isinstance(theirs, dict):
            raise errors.CheckpointError(f"{path}: no settings of a run; give another --workdir.")
        differing = train_config.difference(theirs, ours)
        if differing:
            raise errors.ConfigError(
                f"{workdir} belongs to a run with other settings: {', '.join(differing)}. Use "
                "its settings to resume it, or another --workdir."
            )
    elif workdir.is_dir() and any(workdir.iterdir()):
        raise errors.ConfigError(
            f"{workdir} is not empty and holds no run; give an empty or new --workdir."
        )


def claim_workdir(cfg: TrainConfig, workdir: Path) -> None:
    """Makes the work directory this run's, after `check_workdir`.

    Raises:
      ConfigError: when it is another run's, or cannot be written.
    """
    check_workdir(cfg, workdir)
    path = workdir / "config.json"
    if path.is_file():
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        checkpoint.write_json(path, config_lib.to_dict(cfg))
    except OSError as error:
        raise errors.ConfigError(
            f"{workdir} cannot be written ({error.strerror}); give another --workdir."
        ) from error


def compile_step(step, state: Any, frozen: Any, mesh: jax.sharding.Mesh):
    """Compiles a step with explicit shardings; the old state's memory is reused for the new one."""
    replicated = sharding.replicated(mesh)
    state_sharding = sharding.tree_shardings(state, mesh)
    return jax.jit(
        step,
        in_shardings=(
            state_sharding,
            sharding.tree_shardings(frozen, mesh),
            sharding.batch_sharding(mesh),
            replicated,
        ),
        out_shardings=(state_sharding, replicated),
        donate_argnums=0,
    )


def put_batch(batch: Mapping[str, Any], mesh: jax.sharding.Mesh) -> Any:
    """Puts this process's part of a batch onto its devices as one global array per leaf."""
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding.batch_sharding(mesh), leaf),
        batch,
    )


def enable_compile_cache() -> None:
    """Keeps compiled programs on disk between runs.

    Under JAX_COMPILATION_CACHE_DIR or the user's cache folder.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lb_jax" / "xla"
    jax.config.update(
        "jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR", str(default))
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)

"""The run from start to finish: build, resume, step, log, save, export.

A work directory holds `config.json`, `corpora.json`, `metrics.jsonl`, `quarantine.jsonl`, `states/`
(to resume from) and at the end `checkpoint/` (for inference). Running the same command again
resumes a killed run, and ends with the same parameters bit by bit.
"""

import contextlib
import functools
import sys
from collections.abc import Mapping
from pathlib import Path

import jax
from jax.experimental import multihost_utils

from lb_jax.core import checkpoint, logging, paths
from lb_jax.core import config as config_lib
from lb_jax.core.modalities import TEXT
from lb_jax.corpora.quarantine import Quarantine
from lb_jax.feed import pipeline
from lb_jax.training import (
    chips,
    distributed,
    families,
    flops,
    host_memory,
    loggers,
    sharding,
    stopping,
    worker,
)
from lb_jax.training import probe as probe_lib
from lb_jax.training import program as program_lib
from lb_jax.training import workdir as workdir_lib
from lb_jax.training.checkpoint import StateStore
from lb_jax.training.config import TrainConfig
from lb_jax.training.program import Program
from lb_jax.training.record import Pace, Record

# Steps that `profile` traces, counted from the first one of the process: late enough to be usual.
PROFILED = range(5, 10)


def run(cfg: TrainConfig, workdir: Path, *, profile: bool = False) -> Path:
    """Trains, and returns the folder of the inference checkpoint.

    SIGTERM and SIGINT end the run within a step, after it has saved.

    Args:
      cfg: the run.
      workdir: its folder.
      profile: write a trace of a few steps to `workdir/profile`.

    Raises:
      ConfigError: when the work directory belongs to a run with other settings.
      DataError: when the annotations cannot be used or too many samples are bad.
      CheckpointError: when what the run starts or resumes from cannot be used, or a state cannot
        be written.
      TrainingError: when too many steps are not finite.
      Stopped: when a signal asked the run to stop.
    """
    workdir = Path(workdir)
    with (
        stopping.Stopping().listening() as stop,
        workdir_lib.writable(workdir),
        distributed.together(),
        contextlib.ExitStack() as opened,
    ):
        return _run(cfg, workdir, stop, profile, opened)


def _run(
    cfg: TrainConfig,
    workdir: Path,
    stop: stopping.Stopping,
    profile: bool,
    opened: contextlib.ExitStack,
) -> Path:
    # 1. Settings and data are checked before anything is computed or written.
    distributed.require_started()
    loggers.require(cfg.loggers)
    family = families.of(cfg)
    model_cfg, preprocess = family.build(cfg)
    readers = family.loaders(cfg, preprocess)
    cfg = family.resolved(cfg, readers)
    items = probe_lib.choose(cfg) if cfg.probe.path else None
    workdir_lib.check(cfg, workdir)
    finished = workdir / "checkpoint"
    if checkpoint.is_complete(finished):
        if jax.process_index() == 0:
            print(
                f"lb-jax: {workdir} is finished, nothing was trained; "
                "another --workdir trains anew",
                file=sys.stderr,
            )
        return finished
    corpora = {name: loader.identity() for name, loader in readers.items()}
    workdir_lib.check_corpora(corpora, workdir)

    # 2. Starting parameters, which of them train, and the program.
    mesh = sharding.make_mesh(config_lib.to_dict(cfg.mesh))
    distributed.connect(mesh)
    sharding.require_divisible(cfg.batch_sizes, mesh, cfg.accumulate)
    stop.check()
    params = family.initial_params(cfg, family.make_model(cfg, model_cfg))
    stop.check()
    trainable, frozen = paths.partition(params, cfg.trainable)
    frozen_digest = checkpoint.digest(frozen)
    held = family.held(frozen, cfg)
    program = program_lib.make_program(cfg, mesh, trainable, held)
    family.prepare(cfg, program.model, frozen, trainable, readers)
    probe = probe_lib.Probe(cfg, program, items) if items else None
    captions = probe.texts(trainable, frozen) if probe and TEXT not in trainable else None

    # 3. The folder; it is not claimed before, or a run that cannot start would keep it. Then the
    # position to go on from.
    stop.check()
    workdir_lib.claim(cfg, corpora, workdir)
    opened.enter_context(workdir_lib.alone(workdir))
    store = StateStore(workdir / "states", keep=cfg.keep)
    state = program_lib.place(program.initial_state(trainable), mesh)
    restored = store.restore(state, frozen_digest)
    first, position = 0, None
    if restored:
        first, state, position = restored
    elif logging.read_metrics(workdir / "metrics.jsonl") and jax.process_index() == 0:
        print(f"lb-jax: no state in {store.folder}; starting from step 0", file=sys.stderr)
    on_devices = program_lib.place(held, mesh)
    replicated = sharding.replicated(mesh)
    key = jax.jit(lambda: jax.random.key(cfg.seed), out_shardings=replicated)()

    # 4. Compiled before data is decoded: worker processes would only wait.
    step = stop.run(program.lower(state, on_devices, key).compile)
    if mesh.devices.flat[0].platform == "cpu":
        host_memory.reserve(step)
    batches = make_batches(cfg, readers, workdir, mesh)
    if position:
        batches.set_state(distributed.of_this_process(position))
    sinks, leads = [], jax.process_index() == 0
    if leads:
        sinks = [
            logging.MetricsFile(workdir / "metrics.jsonl", first_step=first),
            *loggers.open_loggers(cfg.loggers, workdir, config_lib.to_dict(cfg), first_step=first),
        ]
    title = f"train {workdir.name}"
    progress = logging.Progress(title, cfg.steps, done=first, unit="step", shown=leads)
    record = Record(cfg, workdir, make_pace(cfg, program), sinks, progress)

    # 5. The loop. A state is saved with the data position BEFORE the next batch is taken, so
    # position and parameters belong together.
    saved, trace = first, _Trace(workdir / "profile") if profile else None
    with contextlib.ExitStack() as loop:
        loop.enter_context(workdir_lib.kept(workdir))
        for one in (store, batches, *sinks, *([trace] if trace else ())):
            loop.enter_context(contextlib.closing(one))
        loop.enter_context(progress)
        stop.saves_first()

        def save(number: int) -> None:
            nonlocal saved
            record.settle()
            if number > saved:
                workdir_lib.require_kept(workdir)
                store.save(number, state, distributed.of_all(batches.get_state()), frozen_digest)
                saved = number

        for number in range(first, cfg.steps + 1):
            ended, asked = number == cfg.steps, stop.requested(number)
            if ended or asked or number % cfg.save_every == 0:
                save(number)
            extra = {}
            if probe and not asked and (ended or number % cfg.probe.every == 0):
                with record.pace.pausing():
                    texts = captions or probe.texts(state["params"], on_devices)
                    found = probe(state["params"], on_devices, texts, lambda: stop.pending)
                asked, extra = found is None, found or {}
            if asked and not ended:
                save(number)
                raise stop.stop(f"saved at step {number}; the same command goes on from there")
            if ended:
                if extra:
                    record.write({"step": number, **extra})
                break
            if trace:
                trace.step(number - first)
            with record.pace.waiting():
                batch = next(batches)
            state, metrics = step(state, on_devices, batch, key)
            record.started(number, metrics, batch, batches.get_state(), extra)

    # 6. The self-contained checkpoint for inference.
    trained = jax.jit(lambda tree: tree, out_shardings=replicated)(state["params"])
    if leads:
        params = paths.overlay(frozen, jax.device_get(trained))
        family.export(finished, cfg, model_cfg, preprocess, params, readers)
    multihost_utils.sync_global_devices("checkpoint")
    return finished


def make_batches(
    cfg: TrainConfig,
    readers: Mapping[str, pipeline.Loader],
    workdir: Path,
    mesh: jax.sharding.Mesh,
) -> pipeline.Batches:
    """The batches of this process, put onto its devices ahead of their use."""
    index, count = jax.process_index(), jax.process_count()
    name = f"quarantine-{index}.jsonl" if index else "quarantine.jsonl"
    return pipeline.Batches(
        pipeline.BatchLoader(
            readers, cfg.batch_sizes, threads=cfg.data.threads, process=(index, count)
        ),
        Quarantine(workdir / name, cfg.data.max_bad_rate),
        workers=cfg.data.workers,
        start_worker=worker.start,
        put=functools.partial(sharding.put_batch, mesh=mesh),
    )


def make_pace(cfg: TrainConfig, program: Program) -> Pace:
    """Counts samples and operations of this run's steps."""
    chip = chips.of(program.mesh.devices.flat[0])
    peak = chip.flops * program.mesh.size if chip else 0.0
    return Pace(
        sum(cfg.batch_sizes.values()), flops.step_flops(cfg, program.mesh) if peak else 0.0, peak
    )


class _Trace:
    """A trace of the steps `PROFILED`, for TensorBoard or Perfetto."""

    def __init__(self, folder: Path):
        self._folder, self._running, self._written = folder, False, False

    def step(self, count: int) -> None:
        """Called before every step with the number of those before it."""
        if count == PROFILED.start:
            jax.profiler.start_trace(str(self._folder))
            self._running = self._written = True
        elif count == PROFILED.stop:
            self.close()

    def close(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            print(f"lb-jax: trace in {self._folder}", file=sys.stderr)
        elif not self._written:
            print(f"lb-jax: no trace: fewer than {PROFILED.start + 1} steps", file=sys.stderr)

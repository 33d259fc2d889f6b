"""Where metrics go besides `metrics.jsonl`, by name; each package is imported when it is asked for.

A run that resumes goes on in the same place: its name there is kept in the work directory. Steps
that it takes again give the same values bit by bit, so it does no harm where a tracker has both.
"""

import importlib
import importlib.util
import json
import numbers
import re
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lb_jax.core import checkpoint, errors

PROJECT = "lb_jax"
RUN = "tracker.json"  # in the work directory: the run's name in trackers


class Logger(Protocol):
    """What takes metrics."""

    def write(self, row: Mapping[str, Any], step: int) -> None:
        """Takes the numbers of a row; `step` and what is no number are left out."""
        ...

    def close(self) -> None:
        """Sends what is left."""
        ...


class Tensorboard:
    """Event files in `workdir/tensorboard`; those of steps that are taken again are dropped."""

    def __init__(
        self, package: types.ModuleType, workdir: Path, config: Mapping[str, Any], first_step: int
    ):
        self._writer = package.SummaryWriter(
            str(workdir / "tensorboard"),
            purge_step=first_step,
            filename_suffix=f".{first_step}",  # names count seconds; a restart may take less
        )
        text = json.dumps(config, indent=2).replace("\n", "\n    ")
        self._writer.add_text("config", f"    {text}", first_step)  # Markdown shows it as code

    def write(self, row: Mapping[str, Any], step: int) -> None:
        """Takes the numbers of a row, each as a series of its own."""
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class Tracker:
    """A run of Weights & Biases, or of Trackio, whose functions are named alike."""

    def __init__(
        self,
        package: types.ModuleType,
        workdir: Path,
        config: Mapping[str, Any],
        first_step: int,
        **place: Any,
    ):
        del first_step  # they keep their own
        options = {"name": run_name(workdir), "resume": "allow", "config": dict(config)}
        self._run = package.init(project=PROJECT, **options, **place)

    def write(self, row: Mapping[str, Any], step: int) -> None:
        """Takes the numbers of a row."""
        self._run.log(scalars(row), step=step)

    def close(self) -> None:
        """Ends the run there, once all is sent."""
        self._run.finish()


def _wandb(package: types.ModuleType, workdir: Path, *rest: Any) -> Tracker:
    # what changes no result, such as the mesh, may be another when a run resumes
    place = {"id": run_name(workdir), "dir": str(workdir), "allow_val_change": True}
    return Tracker(package, workdir, *rest, **place)


# name -> (package that must be installed, what opens it)
LOGGERS: dict[str, tuple[str, Callable[..., Logger]]] = {
    "tensorboard": ("tensorboardX", Tensorboard),
    "trackio": ("trackio", Tracker),
    "wandb": ("wandb", _wandb),
}


def require(names: Iterable[str]) -> None:
    """Checks that loggers can be opened, before anything is written.

    Raises:
      ConfigError: for an unknown name, with the nearest one, or a package that is not installed.
    """
    for name in names:
        if name not in LOGGERS:
            raise errors.ConfigError(
                f"config.loggers: unknown {name!r}; expected of {', '.join(LOGGERS)}."
                f"{errors.nearest(name, LOGGERS)} metrics.jsonl is always written."
            )
        package, _ = LOGGERS[name]
        if importlib.util.find_spec(package) is None:
            raise errors.ConfigError(
                f"config.loggers: {name} needs the package {package}, which is not installed: "
                f"`pip install {package}`, or take it out."
            )


def open_loggers(
    names: Iterable[str], workdir: Path, config: Mapping[str, Any], *, first_step: int = 0
) -> list[Logger]:
    """Opens loggers in the order of their names; one process of a run does.

    Args:
      names: rows of `LOGGERS`.
      workdir: of the run, which exists and is the run's own.
      config: settings of the run, to be kept beside its metrics.
      first_step: step that the run starts from, above 0 when it resumes.

    Raises:
      ConfigError: see `require`.
    """
    names = tuple(dict.fromkeys(names))
    require(names)
    opened = []
    for name in names:
        package, opens = LOGGERS[name]
        module = importlib.import_module(package)
        opened.append(opens(module, Path(workdir), config, first_step))
    return opened


def run_name(workdir: Path) -> str:
    """The run's name in trackers: its folder's, and something that no other folder has.

    Made once and kept in the work directory, so that it survives a move of the folder.
    """
    path = Path(workdir) / RUN
    if not path.is_file():
        folder = re.sub(r"[^\w.-]+", "-", path.resolve().parent.name)  # of what ids may hold
        checkpoint.write_json(path, {"name": f"{folder}-{uuid.uuid4().hex[:8]}"})
    return checkpoint.read_json(path)["name"]


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, its step left out."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, numbers.Real) and not isinstance(value, bool)
    }

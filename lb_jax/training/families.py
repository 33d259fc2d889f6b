"""The systems that `lb-jax train` trains, and what a run needs of one.

The loop, the program, plans and replays ask the family of a run; they know no model. A family is a
module with the functions of `Family`. Read that, then `binding`, then `valor` and `mmv`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import optax

from lb_jax.core import errors, paths
from lb_jax.feed import pipeline
from lb_jax.training import binding, mmv, valor
from lb_jax.training.config import TrainConfig

Readers = Mapping[str, pipeline.Loader]


class Family(Protocol):
    """A system.

    Attributes:
      SAVINGS: settings of a run that save memory, of those that `plan.SAVINGS` has; a run with
        another is refused.
      RUNNING: rules by path for trainable leaves without a gradient, whose new values the step is
        given beside it, as statistics of batch norms; see `step.make_step`.
    """

    SAVINGS: tuple[str, ...]
    RUNNING: paths.Rules

    def build(self, cfg: TrainConfig) -> tuple[Any, dict[str, Any]]:
        """The model's shape, and the preprocessing spec of every modality.

        Raises:
          ConfigError: for settings that are wrong or of no use to the family.
        """
        ...

    def loaders(self, cfg: TrainConfig, preprocess: Mapping[str, Any]) -> Readers:
        """Opens the corpora: what loads each of `cfg.batch_sizes`."""
        ...

    def resolved(self, cfg: TrainConfig, readers: Readers) -> TrainConfig:
        """The run with what only its corpora say."""
        ...

    def make_model(self, cfg: TrainConfig, model_cfg: Any, platform: str | None = None) -> Any:
        """The model with the run's options, for this machine or another platform."""
        ...

    def drawn_params(self, cfg: TrainConfig, model: Any) -> paths.Tree:
        """Parameters drawn from the seed; also under `jax.eval_shape`."""
        ...

    def initial_params(self, cfg: TrainConfig, model: Any) -> paths.Tree:
        """Parameters to start from, on the host.

        Raises:
          CheckpointError: when what the run starts from cannot be read.
          ConfigError: when it does not fit the run.
        """
        ...

    def held(self, frozen: paths.Tree, cfg: TrainConfig) -> paths.Tree:
        """Frozen parameters as the step takes them."""
        ...

    def prepare(
        self,
        cfg: TrainConfig,
        model: Any,
        frozen: paths.Tree,
        trainable: paths.Tree,
        readers: Readers,
    ) -> None:
        """What is to be done once before the first batch."""
        ...

    def make_gradient(self, cfg: TrainConfig, mesh: jax.sharding.Mesh, model: Any) -> Callable:
        """`gradient(trainable, frozen, batch, key) -> ((loss, metrics), gradient)`."""
        ...

    def optimizer(
        self, cfg: TrainConfig, trainable: paths.Tree
    ) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """What updates, and the learning rate by step."""
        ...

    def bound(self, params: paths.Tree) -> paths.Tree:
        """Trained parameters after an update -> those that are kept."""
        ...

    def batch_shapes(self, cfg: TrainConfig, model_cfg: Any) -> dict[str, dict[str, Any]]:
        """`jax.ShapeDtypeStruct`s of a global batch."""
        ...

    def resized(self, cfg: TrainConfig, sizes: Mapping[str, int]) -> TrainConfig:
        """The run with other `batch_sizes`."""
        ...

    def trial(self, cfg: TrainConfig) -> TrainConfig:
        """The trial size of a run, see `training.trial`."""
        ...

    def export(
        self,
        folder: Path,
        cfg: TrainConfig,
        model_cfg: Any,
        preprocess: Mapping[str, Any],
        params: paths.Tree,
        readers: Readers,
    ) -> None:
        """Writes the checkpoint for inference."""
        ...


# By the part of a run's settings that is the family's own; without any it is the first.
FAMILIES: dict[str, Family] = {"binding": binding, "valor": valor, "mmv": mmv}


def of(cfg: TrainConfig) -> Family:
    """The family of a run.

    Raises:
      ConfigError: for the parts of two.
    """
    given = [name for name in FAMILIES if getattr(cfg, name, None) is not None]
    if len(given) > 1:
        raise errors.ConfigError(
            f"{' and '.join(f'config.{name}' for name in given)}: a run is of one system; leave "
            "all but one of them out."
        )
    return FAMILIES[given[0] if given else "binding"]

"""The systems that `lb-jax train` trains, and what a run needs of one.

The loop, the program, plans and replays ask the family of a run; they know no model. A family is a
module with the functions of `Family`. Read that, then `binding`, then `valor`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import optax

from lb_jax.core import paths
from lb_jax.feed import pipeline
from lb_jax.training import binding, valor
from lb_jax.training.config import TrainConfig

Readers = Mapping[str, pipeline.Loader]


class Family(Protocol):
    """A system.

    Attributes:
      ACCUMULATES: whether a batch may go through in parts.
    """

    ACCUMULATES: bool

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


FAMILIES: dict[str, Family] = {"binding": binding, "valor": valor}


def of(cfg: TrainConfig) -> Family:
    """The family of a run."""
    return FAMILIES["valor" if cfg.valor else "binding"]

"""MMV: convolutional towers of video, sound and words, and the graph that compares them (MMV spec).

    video/, audio/, text/, image/    the towers
    heads/                           the graph's

The image tower is one that `deflation` made of the video tower: it lies in video's spaces.

One pure nested dict holds all of it, the statistics of batch norms too: `convolution.STATE` says
which leaves those are.
"""

import dataclasses
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.models import deflation, graphs
from lb_jax.models.convolution import Features, state_of, usual_convolution
from lb_jax.models.graphs import Graph, GraphConfig
from lb_jax.models.languagebind import unit
from lb_jax.models.resnet import AudioResNet, ResNetConfig
from lb_jax.models.s3d import S3D, S3DConfig
from lb_jax.models.tsm import TSM, TSMConfig
from lb_jax.models.words import WordBag, WordsConfig

HEADS = "heads"

# By the class of a tower's config; made as `module(config, rngs=, dtype=, convolution=)`.
TOWERS = {S3DConfig: S3D, TSMConfig: TSM, ResNetConfig: AudioResNet, WordsConfig: WordBag}

# Modality -> its tower's input, of the tower's config and a preprocessed batch, which others take.
_TAKEN = {"image": deflation.stills}


@dataclasses.dataclass(frozen=True)
class MmvConfig:
    """Shape of an MMV model; a tower that is None is not there."""

    graph: GraphConfig
    video: S3DConfig | TSMConfig | None = None
    audio: ResNetConfig | None = None
    text: WordsConfig | None = None
    image: S3DConfig | TSMConfig | None = dataclasses.field(
        default=None, metadata=config_lib.OPTIONAL
    )

    def __post_init__(self):
        if not self.towers:
            raise errors.ConfigError("an MMV model without towers; give one of them.")
        widths = {name: tower.width for name, tower in self.towers.items()}
        for one, other in graphs.LIKE.items():
            if {one, other} <= widths.keys() and widths[one] != widths[other]:
                raise errors.ConfigError(
                    f"{one} features of {widths[one]} numbers and {other} features of "
                    f"{widths[other]}, which take the same heads; make them equal."
                )

    @property
    def towers(self) -> dict[str, S3DConfig | TSMConfig | ResNetConfig | WordsConfig]:
        """Modality -> tower, of those there are."""
        given = {name: getattr(self, name) for name in ("video", "audio", "text", "image")}
        return {name: tower for name, tower in given.items() if tower is not None}


class Run(NamedTuple):
    """What a model makes of a batch; what is not used costs nothing under jit.

    Attributes:
      features: modality -> what its tower gave.
      embeddings: modality -> space -> float32 [b, e], not normalised.
      state: the statistics of the batch norms that were used; training lays them over the old ones.
    """

    features: dict[str, Features]
    embeddings: graphs.Embeddings
    state: paths.Tree


class Mmv:
    """The functions of an `MmvConfig`; it holds no parameters.

    Args:
      cfg: the shape.
      dtype: compute dtype; parameters and statistics are float32.
      convolution: a row of `convolution.CONVOLUTIONS`; None takes what is fast on this machine.
    """

    def __init__(self, cfg: MmvConfig, *, dtype=jnp.float32, convolution: str | None = None):
        self.cfg, self._dtype = cfg, dtype
        self._convolution = convolution or usual_convolution(jax.default_backend())
        self._graphs, self._shapes = {}, {}
        for name in (*cfg.towers, HEADS):
            module = nnx.eval_shape(lambda name=name: self._make(name, nnx.Rngs(params=0)))
            self._graphs[name], state = nnx.split(module)
            self._shapes[name] = nnx.to_pure_dict(state)

    def _make(self, name: str, rngs: nnx.Rngs) -> nnx.Module:
        if name == HEADS:
            widths = {modality: tower.width for modality, tower in self.cfg.towers.items()}
            return Graph(self.cfg.graph, widths, rngs=rngs, dtype=self._dtype)
        tower = self.cfg.towers[name]
        options = {"dtype": self._dtype, "convolution": self._convolution}
        return TOWERS[type(tower)](tower, rngs=rngs, **options)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those with a tower."""
        return tuple(self.cfg.towers)

    @property
    def shapes(self) -> paths.Tree:
        """`jax.ShapeDtypeStruct` of all parameters and statistics."""
        return dict(self._shapes)

    def init(self, key: jax.Array) -> paths.Tree:
        """Draws all parameters; the statistics are those of a model that has seen nothing."""
        return {
            name: nnx.to_pure_dict(
                nnx.split(self._make(name, nnx.Rngs(params=jax.random.fold_in(key, i))))[1]
            )
            for i, name in enumerate(self._graphs)
        }

    def part(self, params: Mapping[str, Any], name: str) -> Any:
        """The module of a modality's tower or of "heads"."""
        return nnx.merge(self._graphs[name], params[name])

    def run(
        self,
        params: Mapping[str, Any],
        inputs: Mapping[str, jax.Array],
        counted: Mapping[str, jax.Array] | None = None,
        *,
        still: Container[str] = (),
    ) -> Run:
        """Runs the towers of some modalities, and the graph in all spaces.

        Args:
          params: of the model.
          inputs: modality -> preprocessed batch.
          counted: in training, modality -> bool [b], which of its items there are: batch norms go
            by these, and the others change neither statistics nor any other item's embedding. None
            is inference.
          still: in training, towers whose batch norms are those of inference all the same, or
            "heads".
        """
        parts = {name: self.part(params, name) for name in (*inputs, HEADS)}
        features = {}
        for name, x in inputs.items():
            there = None if counted is None else counted[name]
            if there is not None:  # whatever stands for an item that is not, not a number included
                x = jnp.where(there.reshape(-1, *[1] * (x.ndim - 1)), x, 0)
            if name in _TAKEN:
                x = _TAKEN[name](self.cfg.towers[name], x)
            features[name] = parts[name](x, None if name in still else there)
        seen = None if HEADS in still else counted
        found = parts[HEADS]({name: one.pooled for name, one in features.items()}, seen)
        embeddings = {
            modality: {space: one.astype(jnp.float32) for space, one in spaces.items()}
            for modality, spaces in found.items()
        }
        now = {name: nnx.to_pure_dict(nnx.split(module)[1]) for name, module in parts.items()}
        return Run(features, embeddings, state_of(now)[0])

    def embed(
        self, params: Mapping[str, Any], modality: str, x: jax.Array, space: str
    ) -> jax.Array:
        """Embeds a preprocessed batch in a space: float32 [b, e] of unit norm.

        Raises:
          ConfigError: naming the modality's spaces, where this is none of them.
        """
        graphs.common_space(self.cfg.graph, modality, modality, space)
        return unit(self.run(params, {modality: x}).embeddings[modality][space])


def mmv_config(values: Mapping[str, Any]) -> MmvConfig:
    """`MmvConfig` from the dict that a checkpoint or a config stores."""
    return config_lib.from_dict(MmvConfig, values)

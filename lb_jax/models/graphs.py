"""Features -> embeddings in the spaces where modalities are compared (MMV spec 3).

A space is named by the first letters of those it was made for: `va`, `vt`, `vat`. What stands in
`at` was never trained: it is there because the published weights hold it.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.convolution import BatchNorm

Embeddings = dict[str, dict[str, jax.Array]]  # modality -> space -> [b, e]

UNTRAINED = "at"
FINE = "va"  # of the factorised graph, where its coarse space starts from


class Route(NamedTuple):
    """The way of a modality into a space.

    Attributes:
      head: its name.
      source: the space whose embedding the head takes; None for the features.
      times: how often a step of training applies it, and so updates its statistics: once for each
        modality it is compared with.
    """

    head: str
    source: str | None = None
    times: int = 1


# Modality -> the one whose heads it takes, to lie in its spaces: a still is a film of one frame.
LIKE = {"image": "video"}
# Modality -> space -> the way there, of those that are trained together.
_TRAINED: dict[str, dict[str, dict[str, Route]]] = {
    "shared": {name: {"vat": Route(f"{name}_vat", times=2)} for name in ("video", "audio", "text")},
    "disjoint": {
        "video": {"va": Route("video_va"), "vt": Route("video_vt")},
        "audio": {"va": Route("audio_va"), "at": Route("audio_at")},
        "text": {"vt": Route("text_vt"), "at": Route("text_at")},
    },
    "fac": {
        "video": {"va": Route("video_va"), "vat": Route("coarse", FINE)},
        "audio": {"va": Route("audio_va"), "vat": Route("coarse", FINE), "at": Route("audio_at")},
        "text": {"vat": Route("text_vat"), "at": Route("text_at")},
    },
}
# The same, of all modalities.
GRAPHS = {
    kind: ways | {modality: ways[other] for modality, other in LIKE.items()}
    for kind, ways in _TRAINED.items()
}

# What stands before the coarse head of the factorised graph: (a norm, a ReLU).
INTERACTIONS = {"none": (False, False), "relu": (False, True), "bnrelu": (True, True)}


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """Shape of a projection.

    Attributes:
      width: of the result.
      inner: widths of the layers before, each with ReLU.
      inner_norm: whether those have batch norms.
      norm: whether the result has one.
    """

    width: int
    inner: tuple[int, ...] = ()
    inner_norm: bool = True
    norm: bool = False

    def __post_init__(self):
        if min(self.width, *self.inner, self.width) < 1:
            raise errors.ConfigError(
                f"a head of widths {(*self.inner, self.width)}; give whole numbers from 1 on."
            )


@dataclasses.dataclass(frozen=True)
class GraphConfig:
    """Which spaces there are, and the heads that lead there.

    Attributes:
      kind: a row of `GRAPHS`.
      heads: name -> shape, of all that the kind has; those of modalities without a tower may be
        left out.
      interaction: a row of `INTERACTIONS`, of "fac".
      audio_text: of "fac", whether sounds go to the coarse space in training too.
    """

    kind: str
    heads: dict[str, HeadConfig]
    interaction: str = "none"
    audio_text: bool = False

    def __hash__(self):  # programs are kept by config
        return hash((self.kind, frozenset(self.heads.items()), self.interaction, self.audio_text))

    def __post_init__(self):
        for name, value, known in (
            ("graph", self.kind, GRAPHS),
            ("interaction", self.interaction, INTERACTIONS),
        ):
            if value not in known:
                raise errors.ConfigError(
                    f"unknown {name} {value!r}; known: "
                    f"{', '.join(known)}.{errors.nearest(value, known)}"
                )
        known = {route.head for _, _, route in self.routes()}
        for name in self.heads:
            if name not in known:
                raise errors.ConfigError(
                    f"unknown head {name!r} of the graph {self.kind!r}; known: "
                    f"{', '.join(sorted(known))}.{errors.nearest(name, known)}"
                )
        for space in dict.fromkeys(space for _, space, _ in self.routes()):
            heads = {r.head for _, one, r in self.routes() if one == space} & {*self.heads}
            widths = {head: self.heads[head].width for head in sorted(heads)}
            if len({*widths.values()}) > 1:
                raise errors.ConfigError(
                    f"widths {widths} in the space {space!r}; make them equal."
                )

    def routes(self) -> list[tuple[str, str, Route]]:
        """(modality, space, route), in the order in which a step of training takes them."""
        return [
            (modality, space, route)
            for modality, ways in GRAPHS[self.kind].items()
            for space, route in ways.items()
            if not (self.audio_text and route.head == "audio_at")
        ]

    def spaces(self, modality: str) -> tuple[str, ...]:
        """Those that a modality was trained to be compared in."""
        return tuple(
            space for one, space, _ in self.routes() if one == modality and space != UNTRAINED
        )


def common_space(cfg: GraphConfig, one: str, other: str, space: str | None = None) -> str:
    """The space in which two modalities are compared.

    Args:
      cfg: the graph.
      one, other: modalities.
      space: the one that is asked for; None where there is no choice.

    Raises:
      ConfigError: naming the spaces of both, where this is none of them or there is a choice.
    """
    both = [name for name in cfg.spaces(one) if name in cfg.spaces(other)]
    if space in both:
        return space
    if space is None and len(both) == 1:
        return both[0]
    lie = "; ".join(
        f"{name} lies in {' and '.join(cfg.spaces(name)) or 'none'}"
        for name in dict.fromkeys((one, other))
    )
    asked = "no space was chosen" if space is None else f"{space!r} was asked for"
    raise errors.ConfigError(
        f"{one} and {other} cannot be compared so: {asked}, and in the graph {cfg.kind!r} {lie}; "
        + (f"choose {' or '.join(both)}." if both else "take a model with another graph.")
    )


class Layer(nnx.Module):
    """[b, i] -> [b, o]: linear, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, norm: bool, rngs: nnx.Rngs, dtype):
        self.proj = layers.Linear(inputs, outputs, rngs=rngs, dtype=dtype)
        self.norm = BatchNorm(outputs, dtype=dtype) if norm else None

    def __call__(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        """Runs the layer."""
        x = self.proj(x)
        return jax.nn.relu(x if self.norm is None else self.norm(x, counted))


class Head(nnx.Module):
    """[b, i] -> [b, e]; a norm behind inner layers takes the place of the last bias."""

    def __init__(self, inputs: int, cfg: HeadConfig, *, rngs: nnx.Rngs, dtype):
        inner = {}
        for i, width in enumerate(cfg.inner):
            inner[str(i)] = Layer(inputs, width, norm=cfg.inner_norm, rngs=rngs, dtype=dtype)
            inputs = width
        self.inner = nnx.Dict(inner)
        bias = not (cfg.inner and cfg.norm)
        self.proj = layers.Linear(inputs, cfg.width, rngs=rngs, dtype=dtype, bias=bias)
        self.norm = BatchNorm(cfg.width, dtype=dtype) if cfg.norm else None

    def __call__(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        """Runs the head; `counted`, [b], as for `BatchNorm`."""
        for layer in self.inner.values():
            x = layer(x, counted)
        x = self.proj(x)
        return x if self.norm is None else self.norm(x, counted)


class Graph(nnx.Module):
    """Features of some modalities -> their embeddings, which are not normalised.

    Args:
      cfg: the graph.
      widths: modality -> width of its features, of those with a tower.
    """

    def __init__(
        self, cfg: GraphConfig, widths: Mapping[str, int], *, rngs: nnx.Rngs, dtype=jnp.float32
    ):
        self.cfg = cfg
        inputs: dict[str, int] = {}
        for modality, _, route in cfg.routes():
            if modality not in widths:
                continue
            fine = GRAPHS[cfg.kind][modality].get(route.source or "")
            for head in (route.head, *([fine.head] if fine else [])):
                if head not in cfg.heads:
                    raise errors.ConfigError(
                        f"the graph {cfg.kind!r} has no head {head!r} for {modality}; add it."
                    )
            inputs[route.head] = cfg.heads[fine.head].width if fine else widths[modality]
        for head, width in inputs.items():
            setattr(self, head, Head(width, cfg.heads[head], rngs=rngs, dtype=dtype))
        normed = INTERACTIONS[cfg.interaction][0] and "coarse" in inputs
        self.interaction = BatchNorm(inputs["coarse"], dtype=dtype) if normed else None

    def __call__(
        self,
        features: Mapping[str, jax.Array],
        counted: Mapping[str, jax.Array] | None = None,
    ) -> Embeddings:
        """Embeds.

        Args:
          features: modality -> [b, f], of any modalities with a tower.
          counted: in training, modality -> which items there are, [b], see `BatchNorm`. The coarse
            space of "fac" then has no sounds unless the config says `audio_text`, so that its
            statistics are those of videos.
        """
        found: Embeddings = {modality: {} for modality in features}
        for modality, space, route in self.cfg.routes():
            if modality not in features or self._rests(modality, route, counted is not None):
                continue
            seen = None if counted is None else counted[modality]
            x = features[modality]
            if route.source:
                x = self._interact(found[modality][route.source], seen)
            for _ in range(route.times):
                found[modality][space] = getattr(self, route.head)(x, seen)
        return found

    def _rests(self, modality: str, route: Route, trains: bool) -> bool:
        is_coarse_sound = modality == "audio" and route.source is not None
        return trains and is_coarse_sound and not self.cfg.audio_text

    def _interact(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        x = x if self.interaction is None else self.interaction(x, counted)
        return jax.nn.relu(x) if INTERACTIONS[self.cfg.interaction][1] else x

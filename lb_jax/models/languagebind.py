"""All towers in one embedding space over one pure nested dict of parameters.

    base/                    the vision blocks, patch kernel and pre norm, stored once; of
                             ImageBind the whole tower of stills and clips
    towers/<modality>/       what differs from base: LoRA factors, class and position embeddings,
                             temporal attention, post norm, projection
    text/                    the text tower
    logit_scale/<modality>   log of the inverse temperature

The overlay of `base` and `towers/<modality>` is that modality's tower; a fully tuned tower simply
brings everything. LanguageBind's models, CLIPs and ImageBind's are configurations of this; to which
family a model belongs says which temperatures it has (`families`).
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.models import families, layers
from lb_jax.models.text import TextConfig, TextTower
from lb_jax.models.vision import VisionConfig, VisionTower

# What towers share through `base` when the shapes agree; everything else is a tower's own.
SHARED = (
    (r".*/lora_[ab]", False),
    (r"patch_embed/kernel|pre_norm/.*|blocks/(norm1|attn|norm2|mlp)/.*", True),
    (r".*", False),
)

INITIAL_TEMPERATURE = 0.07
SHORTEST = 1e-12  # length of a vector that has no direction any more (ImageBind spec 3)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The vision towers by modality, and the text tower they are bound to.

    `family` is a row of `families.FAMILIES`; None is LanguageBind's.
    """

    towers: dict[str, VisionConfig]
    text: TextConfig
    family: str | None = dataclasses.field(default=None, repr=False, metadata=config_lib.OPTIONAL)

    def __hash__(self):  # programs are kept by config
        return hash((frozenset(self.towers.items()), self.text, self.family))

    def __post_init__(self):
        known = families.FAMILIES
        if self.family is not None and self.family not in known:
            raise errors.ConfigError(
                f"unknown family {self.family!r}; known: "
                f"{', '.join(known)}.{errors.nearest(self.family, known)}"
            )
        for name, tower in self.towers.items():
            if name not in MODALITIES:
                raise errors.ConfigError(
                    f"unknown modality {name!r}; known: "
                    f"{', '.join(MODALITIES)}.{errors.nearest(name, MODALITIES)}"
                )
            if tower.embed_dim != self.text.embed_dim:
                raise errors.ConfigError(
                    f"{name} projects to {tower.embed_dim} dimensions and text to "
                    f"{self.text.embed_dim}; they must be equal."
                )

    @property
    def kind(self) -> families.Family:
        """The family."""
        return families.FAMILIES[self.family or families.LANGUAGEBIND.name]

    @property
    def scaled(self) -> tuple[str, ...]:
        """What has a temperature: every modality, or those outputs that have one of their own."""
        own = self.kind.own_scales
        return tuple(name for name in own or self.towers if name in self.towers or name == TEXT)


class LanguageBind:
    """The functions of a `ModelConfig`; it holds no parameters.

    Args:
      cfg: the towers.
      dtype: compute dtype; parameters are float32 and embeddings come out float32.
      scan: scan the layers (fast to compile) rather than unroll them.
      remat: what the backward pass computes again, a row of `stack.REMAT`.
      attention: a row of `layers.ATTENTION`; None takes what is fast on this machine.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        *,
        dtype=jnp.float32,
        scan: bool = True,
        remat: str = "none",
        attention: str | None = None,
    ):
        self.cfg = cfg
        attention = attention or layers.usual_attention(jax.default_backend())
        options = {"dtype": dtype, "scan": scan, "remat": remat, "attention": attention}

        towers = {name: (VisionTower, tower) for name, tower in cfg.towers.items()}
        towers[TEXT] = (TextTower, cfg.text)
        self._make = {
            name: functools.partial(_build, kind, tower, **options)
            for name, (kind, tower) in towers.items()
        }
        abstract = {
            name: _abstract(kind, tower, tuple(options.items()))
            for name, (kind, tower) in towers.items()
        }
        self._graphs = {name: graph for name, (graph, _) in abstract.items()}
        self._shapes = {name: paths.unflatten(shapes) for name, (_, shapes) in abstract.items()}
        for name, tower in cfg.towers.items():
            leaves = paths.flatten(self._shapes[name])
            if tower.lora and not any(path.endswith("lora_a") for path in leaves):
                found = sorted(path for path in leaves if path.endswith("proj/kernel"))
                raise errors.ConfigError(
                    f"lora.targets of {name} is {tower.lora.targets!r}, which matches no layer; "
                    f"the tower has {', '.join(path.removesuffix('/kernel') for path in found)}."
                )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities with a vision tower, in the config's order."""
        return tuple(self.cfg.towers)

    def init(self, key: jax.Array) -> paths.Tree:
        """Draws all parameters; the first tower fills `base`, of a family with twins their one."""
        drawn = {}
        for i, (name, make) in enumerate(self._make.items()):
            drawn[name] = nnx.to_pure_dict(nnx.split(make(jax.random.fold_in(key, i)))[1])
        kind, towers, base = self.cfg.kind, {}, {}
        for name in self.modalities:
            leaves = paths.flatten(drawn[name])
            shared = {path for path in leaves if is_based(kind, name, path)}
            base = base or {path: leaves[path] for path in shared}
            kept = {path for path in shared if path in base}
            if not kind.twins:
                kept = {path for path in kept if base[path].shape == leaves[path].shape}
            towers[name] = paths.unflatten(
                {path: leaf for path, leaf in leaves.items() if path not in kept}
            )
        scales = {name: jnp.log(1 / INITIAL_TEMPERATURE) for name in self.cfg.scaled}
        return {
            "base": paths.unflatten(base),
            "towers": towers,
            "text": drawn[TEXT],
            "logit_scale": scales,
        }

    def shapes(self, name: str) -> paths.Tree:
        """`jax.ShapeDtypeStruct` of a modality's whole tower, or of the text tower."""
        return self._shapes[name]

    def tower(self, params: Mapping[str, Any], name: str) -> paths.Tree:
        """All parameters of one tower: `base` overlaid with the modality's own, or the text's."""
        if name == TEXT:
            return params["text"]
        own = params.get("towers", {}).get(name, {})  # nothing, of a tower that is all in the base
        merged = paths.flatten(paths.overlay(params.get("base", {}), own))
        return paths.unflatten({path: merged[path] for path in paths.flatten(self._shapes[name])})

    def apply(self, params: Mapping[str, Any], name: str, x: jax.Array, **options):
        """Runs one tower: `TowerOutput`. Options are those of `VisionTower.__call__`."""
        return nnx.merge(self._graphs[name], self.tower(params, name))(x, **options)

    def encode(self, params: Mapping[str, Any], name: str, x: jax.Array, **options) -> jax.Array:
        """Embeds a preprocessed batch: float32 [b, e] of unit norm."""
        return unit(self.apply(params, name, x, **options).embed)

    def project(self, params: Mapping[str, Any], name: str, x: jax.Array, **options) -> jax.Array:
        """Embeds a preprocessed batch: float32 [b, e] of the length that the tower gives it."""
        return self.apply(params, name, x, **options).embed.astype(jnp.float32)

    def features(self, params: Mapping[str, Any], name: str, x: jax.Array, **options) -> jax.Array:
        """What the projection takes, of a preprocessed batch: float32 [b, width]."""
        return self.apply(params, name, x, **options).pooled.astype(jnp.float32)


def _build(kind: type, tower: Any, key: jax.Array, **options: Any) -> nnx.Module:
    return kind(tower, rngs=nnx.Rngs(params=key), **options)


@functools.lru_cache(maxsize=64)  # every step of a conversion asks for the same towers
def _abstract(kind: type, tower: Any, options: tuple) -> tuple[nnx.GraphDef, dict[str, Any]]:
    """The graph of a tower and the shapes of its parameters by path."""
    make = functools.partial(_build, kind, tower, **dict(options))
    key = jax.eval_shape(jax.random.key, 0)  # one with a value would be the first program compiled
    graph, state = nnx.split(nnx.eval_shape(make, key))
    return graph, paths.flatten(nnx.to_pure_dict(state))


def input_shape(cfg: ModelConfig, name: str) -> tuple[int, ...]:
    """Shape of one preprocessed item of a modality, as its tower takes it."""
    tower = cfg.towers[name]
    frames = (tower.frames,) if tower.frames > 1 and MODALITIES[name].has_frames else ()
    return (*frames, *tower.frame)


def unit(x: jax.Array) -> jax.Array:
    """Divides the last axis by its length, in float32: x / max(|x|, `SHORTEST`), so zeros stay."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.maximum((x * x).sum(-1, keepdims=True), SHORTEST**2))


def is_shared(path: str) -> bool:
    """Whether a path of a tower lives in `base` by default."""
    return paths.match_one(SHARED, path)


def is_based(kind: families.Family, name: str, path: str) -> bool:
    """Whether a leaf of a modality's tower lives in `base` by default.

    Where a family's towers are of several forms its twins share all but LoRA's factors, and trained
    as one they stay one; the others share nothing.
    """
    if not kind.twins:
        return is_shared(path)
    return name in kind.twins and not path.endswith(("/lora_a", "/lora_b"))


def model_config(values: Mapping[str, Any]) -> ModelConfig:
    """`ModelConfig` from the dict that a checkpoint or a config stores."""
    return config_lib.from_dict(ModelConfig, values)

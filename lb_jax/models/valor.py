"""VALOR: text, sight and sound aligned token by token, and a decoder that writes (VALOR spec 1).

    text/                     BERT, which is text encoder and decoder, with its head
    video/, audio/           the towers
    align/<role>/             projection to the common space, and the MLP that weighs tokens
    hand_over/<role>/         what the decoder is given: width, frame and type embeddings
    logit_scale | temperature of the alignment, as its log inverse or itself

Roles are text, video and audio. A group of them is written as in the paper's code, "tva", "tv",
"ta": its first letter is compared with, or written about, the others.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import LETTERS, TEXT
from lb_jax.models import generation, layers
from lb_jax.models.bert import ROLES, Bert, BertConfig
from lb_jax.models.languagebind import INITIAL_TEMPERATURE, unit
from lb_jax.models.swin import SwinConfig, VideoSwin
from lb_jax.models.vision import VisionConfig, VisionTower

# Leaf that holds the temperature -> (the divisor of the scores that it stands for, its start).
TEMPERATURES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "logit_scale": (lambda scale: jnp.exp(-scale), math.log(1 / INITIAL_TEMPERATURE)),
    "temperature": (lambda divisor: divisor, INITIAL_TEMPERATURE),
}

ALIGNMENTS = ("weighted", "uniform", "coarse")

EPSILON = 1e-12  # of the norm that hands over


@dataclasses.dataclass(frozen=True)
class ValorConfig:
    """Shape of a VALOR model.

    Attributes:
      text: the text encoder and decoder.
      video: the tower of pictures and films: a CLIP's, LanguageBind's, Video Swin; None for none.
      audio: the tower of sounds: AST's form with one channel, or LanguageBind's with three, whose
        crops are then clips; None for none.
      embed_dim: size e of the common space.
      frames, clips: most frames and clips that are handed to the decoder.
      temperature: a row of `TEMPERATURES`.
      alignment: "weighted" compares all tokens by learned weights, "uniform" by equal ones,
        "coarse" one vector of each role.
      fusion: whether "coarse" has a layer that makes one vector of video and audio.
      task_prompts: whether texts are encoded and written with the prompts of their task.
    """

    text: BertConfig
    video: VisionConfig | SwinConfig | None = None
    audio: VisionConfig | None = None
    embed_dim: int = 512
    frames: int = 32
    clips: int = 32
    temperature: str = "temperature"
    alignment: str = "weighted"
    fusion: bool = False
    task_prompts: bool = False

    def __post_init__(self):
        if not self.towers:
            raise errors.ConfigError("a VALOR model without video and audio; give one of them.")
        for name, value, known in (
            ("temperature", self.temperature, TEMPERATURES),
            ("alignment", self.alignment, ALIGNMENTS),
        ):
            if value not in known:
                raise errors.ConfigError(
                    f"unknown {name} {value!r}; known: "
                    f"{', '.join(known)}.{errors.nearest(value, known)}"
                )

    @property
    def towers(self) -> dict[str, VisionConfig | SwinConfig]:
        """Role -> tower, of those there are."""
        given = {role: getattr(self, role) for role in ROLES}
        return {role: tower for role, tower in given.items() if tower is not None}

    @property
    def items(self) -> dict[str, int]:
        """Role -> most frames or clips."""
        return dict(zip(ROLES, (self.frames, self.clips), strict=True))

    @property
    def widths(self) -> dict[str, int]:
        """Role -> width of its tokens."""
        towers = {role: TOWERS[type(one)].width(one) for role, one in self.towers.items()}
        return {TEXT: self.text.width} | towers


class Perceived(NamedTuple):
    """What a tower makes of frames or clips; unused fields cost nothing under `jax.jit`.

    Attributes:
      tokens: [b, n, s, c], all of every frame or clip.
      pooled: [b, n, c], one vector of each.
    """

    tokens: jax.Array
    pooled: jax.Array


class Aligned(NamedTuple):
    """Tokens in the common space.

    Attributes:
      features: float32 [b, n, e] of unit norm; [b, e] where the alignment is coarse.
      weight_logits: float32 [b, n], whose softmax over the tokens that count weighs them; None
        where all weigh the same.
    """

    features: jax.Array
    weight_logits: jax.Array | None


class AlignHead(nnx.Module):
    """Tokens [b, n, c] -> `Aligned`."""

    def __init__(self, width: int, cfg: ValorConfig, *, rngs: nnx.Rngs, dtype):
        self.proj = layers.Linear(width, cfg.embed_dim, rngs=rngs, dtype=dtype, bias=False)
        weighted = cfg.alignment == "weighted"
        self.weight = TokenWeight(cfg.embed_dim, rngs=rngs, dtype=dtype) if weighted else None

    def __call__(self, x: jax.Array) -> Aligned:
        """[..., n, c] -> [..., n, e], [..., n]."""
        features = unit(self.proj(x))
        return Aligned(features, None if self.weight is None else self.weight(features))


class TokenWeight(nnx.Module):
    """Features [..., e] -> the logit of their weight, float32 [...]."""

    def __init__(self, width: int, *, rngs: nnx.Rngs, dtype):
        self.fc1 = layers.Linear(width, width, rngs=rngs, dtype=dtype)
        self.fc2 = layers.Linear(width, 1, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., e] -> [...]."""
        return self.fc2(jax.nn.relu(self.fc1(x)))[..., 0].astype(jnp.float32)


class Align(nnx.Module):
    """An `AlignHead` of every role, by name."""

    def __init__(self, cfg: ValorConfig, *, rngs: nnx.Rngs, dtype):
        for role, width in cfg.widths.items():
            setattr(self, role, AlignHead(width, cfg, rngs=rngs, dtype=dtype))
        size = (len(ROLES) * cfg.embed_dim, cfg.embed_dim)
        fuses = cfg.alignment == "coarse" and cfg.fusion
        self.fusion = layers.Linear(*size, rngs=rngs, dtype=dtype) if fuses else None


class HandOver(nnx.Module):
    """Tokens of frames or clips [b, n, s, c] -> what the decoder attends to, [b, n s, d]."""

    def __init__(self, inputs: int, width: int, items: int, *, rngs: nnx.Rngs, dtype):
        fits = inputs == width
        self.proj = None if fits else layers.Linear(inputs, width, rngs=rngs, dtype=dtype)
        self.norm = None if fits else layers.LayerNorm(width, dtype=dtype, epsilon=EPSILON)
        self.frame_embed = nnx.Param(0.02 * jax.random.normal(rngs.params(), (items, width)))
        self.type_embed = nnx.Param(0.02 * jax.random.normal(rngs.params(), (width,)))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """[b, n, s, c] -> [b, n s, d]."""
        count, most = tokens.shape[1], len(self.frame_embed[...])
        if count > most:
            raise errors.ConfigError(
                f"{count} frames or clips where the model has embeddings for {most}; sample fewer."
            )
        x = tokens if self.proj is None or self.norm is None else self.norm(self.proj(tokens))
        x = x + rearrange(self.frame_embed[:count], "n d -> n 1 d").astype(x.dtype)
        return rearrange(x, "b n s d -> b (n s) d") + self.type_embed[...].astype(x.dtype)


class HandOvers(nnx.Module):
    """A `HandOver` of every role, by name."""

    def __init__(self, cfg: ValorConfig, *, rngs: nnx.Rngs, dtype):
        for role in cfg.towers:
            size = (cfg.widths[role], cfg.text.width, cfg.items[role])
            setattr(self, role, HandOver(*size, rngs=rngs, dtype=dtype))


def perceive_video(tower: VisionTower, pixels: jax.Array, **options: Any) -> Perceived:
    """Frames [b, n, h, w, 3], or pictures [b, h, w, 3] -> `Perceived`."""
    pixels = pixels[:, None] if pixels.ndim == 4 else pixels
    if tower.cfg.temporal or tower.cfg.tube_size:  # frames attend to each other
        return _perceived(tower(pixels, **options))
    return _apart(tower, pixels, **options)


def perceive_audio(tower: VisionTower, clips: jax.Array, **options: Any) -> Perceived:
    """Clips -> `Perceived`.

    Args:
      tower: with one channel or three.
      clips: [b, n, mel, frames]; of a tower with three channels [b, mel, frames, n], as the audio
        of LanguageBind is prepared, whose crops are clips.
      **options: of the tower: `key`, `constrain`.
    """
    channels = tower.cfg.kind.channels
    if channels > 1:
        clips = rearrange(clips, "b m f n -> b n m f")
    return _apart(tower, repeat(clips, "b n m f -> b n m f c", c=channels), **options)


def _apart(tower: VisionTower, x: jax.Array, **options: Any) -> Perceived:
    """Each of [b, n, h, w, c] by itself."""
    found = _perceived(tower(rearrange(x, "b n h w c -> (b n) h w c"), **options))
    return Perceived(*(rearrange(one, "(b n) 1 ... -> b n ...", n=x.shape[1]) for one in found))


def _perceived(output: layers.TowerOutput) -> Perceived:
    return Perceived(output.tokens, output.tokens[:, :, 0])


def perceive_swin(tower: VideoSwin, pixels: jax.Array, **options: Any) -> Perceived:
    """Frames [b, n, h, w, 3], or pictures [b, h, w, 3] -> `Perceived`."""
    return Perceived(*tower(pixels, **options))


class Kind(NamedTuple):
    """A kind of tower.

    Attributes:
      module: made as `module(config, rngs=, dtype=, scan=, remat=, attention=)`.
      width: config -> width of its tokens.
      ways: role -> how it sees or hears, (module, input, **options) -> `Perceived`.
    """

    module: type
    width: Callable[[Any], int]
    ways: Mapping[str, Callable[..., Perceived]]


# By the class of a tower's config.
TOWERS = {
    VisionConfig: Kind(
        VisionTower, lambda cfg: cfg.width, {"video": perceive_video, "audio": perceive_audio}
    ),
    SwinConfig: Kind(VideoSwin, lambda cfg: cfg.widths[-1], {"video": perceive_swin}),
}


class Valor:
    """The functions of a `ValorConfig`; it holds no parameters.

    Args:
      cfg: the shape.
      dtype: compute dtype; parameters are float32.
      scan, remat: see `stack.run_stack`.
      attention: a row of `layers.ATTENTION`; None takes what is fast on this machine.
    """

    def __init__(
        self,
        cfg: ValorConfig,
        *,
        dtype=jnp.float32,
        scan: bool = True,
        remat: str = "none",
        attention: str | None = None,
    ):
        self.cfg = cfg
        attention = attention or layers.usual_attention(jax.default_backend())
        options = {"dtype": dtype, "scan": scan, "remat": remat, "attention": attention}
        self._make: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
            TEXT: lambda rngs: Bert(cfg.text, rngs=rngs, **options),
            "align": lambda rngs: Align(cfg, rngs=rngs, dtype=dtype),
            "hand_over": lambda rngs: HandOvers(cfg, rngs=rngs, dtype=dtype),
        }
        for role, tower in cfg.towers.items():
            kind = TOWERS[type(tower)]
            self._make[role] = functools.partial(_build, kind.module, tower, options)
        self._graphs, self._shapes = {}, {}
        for name, make in self._make.items():
            module = nnx.eval_shape(lambda make=make: make(nnx.Rngs(params=0)))
            self._graphs[name], state = nnx.split(module)
            self._shapes[name] = nnx.to_pure_dict(state)

    @property
    def roles(self) -> tuple[str, ...]:
        """Those with a tower, in the order of `ROLES`."""
        return tuple(self.cfg.towers)

    @property
    def shapes(self) -> paths.Tree:
        """`jax.ShapeDtypeStruct` of all parameters."""
        scale = jax.ShapeDtypeStruct((), jnp.float32)
        return {**self._shapes, self.cfg.temperature: scale}

    def init(self, key: jax.Array) -> paths.Tree:
        """Draws all parameters."""
        drawn = {
            name: nnx.to_pure_dict(nnx.split(make(nnx.Rngs(params=jax.random.fold_in(key, i))))[1])
            for i, (name, make) in enumerate(self._make.items())
        }
        _, start = TEMPERATURES[self.cfg.temperature]
        return {**drawn, self.cfg.temperature: jnp.float32(start)}

    def part(self, params: Mapping[str, Any], name: str) -> Any:
        """The module of "text", a role with a tower, "align" or "hand_over"."""
        return nnx.merge(self._graphs[name], params[name])

    def perceive(
        self, params: Mapping[str, Any], role: str, x: jax.Array, **options: Any
    ) -> Perceived:
        """Sees or hears.

        Args:
          params: of the model.
          role: "video" or "audio".
          x: frames [b, n, h, w, 3], pictures [b, h, w, 3], or clips, see `perceive_audio`.
          **options: of the tower: `key` of the dropout (None is inference), `constrain`.
        """
        kind = TOWERS[type(self.cfg.towers[role])]
        return kind.ways[role](self.part(params, role), x, **options)

    def read(
        self,
        params: Mapping[str, Any],
        ids: jax.Array,
        *,
        prompt: jax.Array | None = None,
        **options: Any,
    ) -> jax.Array:
        """Encodes texts int [b, n], with a prompt int [p] or [b, p] beside them: [b, n, d].

        Options are those of `Bert`: `key`, `constrain`.
        """
        prompt = _of_all(prompt, len(ids))
        return self.part(params, TEXT)(ids, prompt=prompt, **options).text

    def align(self, params: Mapping[str, Any], role: str, tokens: jax.Array) -> Aligned:
        """Brings what `read` gave, or `perceive` as `pooled`, into the common space.

        Args:
          params: of the model.
          role: "text", "video" or "audio".
          tokens: [b, n, c].
        """
        head = getattr(self.part(params, "align"), role)
        if self.cfg.alignment == "coarse":
            return head(tokens[:, 0] if role == TEXT else tokens.mean(axis=1))
        return head(tokens)

    def fuse(self, params: Mapping[str, Any], video: jax.Array, audio: jax.Array) -> jax.Array:
        """One unit vector of the coarse ones of video and audio: [b, e], [b, e] -> [b, e]."""
        return unit(self.part(params, "align").fusion(jnp.concatenate([video, audio], axis=-1)))

    def hand_over(
        self, params: Mapping[str, Any], tokens: Mapping[str, jax.Array]
    ) -> dict[str, jax.Array]:
        """Role -> tokens [b, n, s, c] as the decoder's memory, role -> [b, n s, d]."""
        made = self.part(params, "hand_over")
        return {role: getattr(made, role)(one) for role, one in tokens.items()}

    def write(
        self,
        params: Mapping[str, Any],
        ids: jax.Array,
        memory: Mapping[str, jax.Array],
        *,
        prompt: jax.Array | None = None,
        sight: str = "causal",
        **options: Any,
    ) -> jax.Array:
        """The decoder's logits at every place: float32 [b, n, v].

        Args:
          params: of the model.
          ids: int [b, n], masked where something is to be found.
          memory: of `hand_over`; `of_group` chooses the roles of a group.
          prompt: int [p] or [b, p], a task's or a question; None for none.
          sight: a row of `bert.SIGHTS`.
          **options: of `Bert`: `key` of the dropout, `constrain`.
        """
        decoder = self.part(params, TEXT)
        prompt = _of_all(prompt, len(ids))
        found = decoder(ids, prompt=prompt, memory=memory, sight=sight, **options)
        return decoder.logits(found.text)

    def generate(
        self,
        params: Mapping[str, Any],
        memory: Mapping[str, jax.Array],
        decoding: generation.Decoding,
        *,
        prompt: jax.Array | None = None,
        key: jax.Array | None = None,
    ) -> generation.Generated:
        """Writes captions, or with a question as prompt answers.

        Args:
          params: of the model.
          memory: of `hand_over`.
          decoding: how; static under `jax.jit`.
          prompt: int [p] or [b, p]; None for none.
          key: to draw words instead of searching for the likeliest.
        """
        items = len(next(iter(memory.values())))
        prompt = _of_all(prompt, items)
        return generation.generate(
            self.part(params, TEXT), memory, decoding, prompt=prompt, key=key
        )

    def divisor(self, params: Mapping[str, Any]) -> jax.Array:
        """The temperature, by which scores are divided: float32 []."""
        meaning, _ = TEMPERATURES[self.cfg.temperature]
        return meaning(params[self.cfg.temperature])


def of_group(memory: Mapping[str, Any], group: str) -> dict[str, Any]:
    """What a group such as "tva" writes from, by role.

    Raises:
      ConfigError: for a letter that is none of `LETTERS`, or a role that is not there.
    """
    roles = [LETTERS.get(letter) for letter in group]
    if None in roles or len({*roles}) < max(2, len(group)):
        raise errors.ConfigError(
            f"unknown group {group!r}; give different letters of "
            f"{', '.join(f'{letter} ({role})' for letter, role in LETTERS.items())}, such as tva."
        )
    wanted = [role for role in roles if role != TEXT]
    if missing := [role for role in wanted if role not in memory]:
        raise errors.ConfigError(
            f"group {group!r} needs {' and '.join(missing)}, and there is "
            f"{' and '.join(memory) or 'nothing'}; choose another group."
        )
    return {role: memory[role] for role in ROLES if role in wanted}


def extend_frames(params: Mapping[str, Any], seen: Mapping[str, int]) -> paths.Tree:
    """Lets a trained model take more frames or clips than it was trained with (VALOR spec 1.5).

    Args:
      params: of the model.
      seen: role -> how many it was trained with; the embeddings of all further ones become that of
        the last of these.

    Raises:
      ConfigError: for a role without embeddings, or a number that there are not.
    """
    tables = {role: one["frame_embed"] for role, one in params["hand_over"].items()}
    for role, count in seen.items():
        most = len(tables.get(role, ()))
        if not 1 <= count <= most:
            raise errors.ConfigError(
                f"trained with {count} of {role}, and there are embeddings for {most}; give a "
                f"number from 1 on, of {' or '.join(tables)}."
            )
    changed = {
        f"hand_over/{role}/frame_embed": jnp.where(
            jnp.arange(len(tables[role]))[:, None] < count, tables[role], tables[role][count - 1]
        )
        for role, count in seen.items()
    }
    return paths.unflatten({**paths.flatten(params), **changed})


def valor_config(values: Mapping[str, Any]) -> ValorConfig:
    """`ValorConfig` from the dict that a checkpoint or a config stores."""
    return config_lib.from_dict(ValorConfig, values)


def _build(kind: type, tower: Any, options: Mapping[str, Any], rngs: nnx.Rngs) -> nnx.Module:
    return kind(tower, rngs=rngs, **options)


def _of_all(prompt: jax.Array | None, items: int) -> jax.Array | None:
    """A prompt of its own for every item: [p] or [b, p] -> [b, p]."""
    if prompt is None:
        return None
    prompt = jnp.asarray(prompt)
    return jnp.broadcast_to(prompt, (items, prompt.shape[-1]))

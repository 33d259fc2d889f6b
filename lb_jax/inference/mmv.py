"""An MMV model at work: `embed`, `encode`, `similarity` in one of the spaces of its graph.

A model is loaded for a space, which is a part of what it is: `digest` tells it, so that stores and
caches never mix vectors of two. Single calls may ask for another.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from lb_jax.convert import hub, mmv_files
from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import encoder, programs, spaces
from lb_jax.inference.unit_vectors import counts, space_of
from lb_jax.media import passes, specs
from lb_jax.models.languagebind import unit
from lb_jax.models.mmv import HEADS, Mmv, MmvConfig
from lb_jax.models.s3d import FOLD, S3DConfig
from lb_jax.objectives.mil_nce import TEMPERATURE
from lb_jax.text import readers
from lb_jax.text.words import FILE, Words

BATCH_SIZE = 8  # a clip is 32 frames
FILM = passes.Passes(count=4, longest_s=None)  # of zero-shot retrieval (MMV spec 6.3)
PRESETS = {"default": "mmv"}  # how the original decoded for its training was not published


def load(
    source: str | Path,
    *,
    dtype: Any = jnp.float32,
    preset: str = "default",
    space: str | None = None,
    devices: Sequence[jax.Device] | None = None,
    batch_size: int = BATCH_SIZE,
    frames: int | None = None,
) -> "MmvModel":
    """Opens an MMV model, as it was released or as a checkpoint of this package.

    Args:
      source: file or folder of weights, or the work directory of a run; texts need `words.txt`
        beside the weights.
      dtype: of compute; parameters and statistics are float32.
      preset: "default" is the preset "mmv" of `lb_jax.media.specs`; our own checkpoints bring
        theirs.
      space: where the vectors lie, such as "va" or "vat"; None takes the one that all towers share.
      devices: each holds the whole model and takes its part of a batch; all of this process when
        None.
      batch_size: items that each device encodes at once; halved when its memory runs out.
      frames: of a clip, instead of as many as it was trained with.

    Raises:
      CheckpointError: for weights of another system, or that are damaged.
      ConfigError: for a space that there is not, naming those of every modality; another preset or
        dtype; frames for a model without video.
    """
    if preset not in tuple(PRESETS):
        raise errors.ConfigError(
            f"preset is {preset!r}, and an MMV model has {' and '.join(PRESETS)} alone; leave it "
            "out."
        )
    return MmvModel(
        mmv_files.open_mmv(hub.local(source)),
        dtype=programs.compute_dtype(dtype),
        space=space,
        devices=devices,
        batch_size=batch_size,
        frames=frames,
        source=hub.called(source),
    )


class MmvModel(encoder.Encoder):
    """A trained MMV model.

    Attributes:
      config: shape of the towers and the graph (`MmvConfig`).
      words: what its texts are read by; None where they are not there.
      specs, settings, dtype, source, any_size, film: see `Encoder`.
    """

    def __init__(
        self,
        weights: mmv_files.MmvWeights,
        *,
        dtype: Any = jnp.float32,
        space: str | None = None,
        devices: Sequence[jax.Device] | None = None,
        batch_size: int = BATCH_SIZE,
        frames: int | None = None,
        source: str | None = None,
    ):
        self.config = weights.config
        called = weights.where if source is None else source
        self._space = spaces.chosen(self.config, space, called)
        stated = read_specs(weights)
        video = stated.get("video")
        self._trained = video.frames if isinstance(video, specs.VideoSpec) else None
        super().__init__(
            weights,
            with_frames(stated, frames, called),
            dtype=dtype,
            kept=np.float32,
            devices=devices,
            batch_size=batch_size,
            source=source,
        )
        self.any_size = ("video",) if self._trained else ()
        self.film = FILM if self._trained else None
        self.words = read_words(weights)
        self._made = functools.partial(compiled, self.config, jnp.dtype(dtype), self._mesh)

    def __repr__(self) -> str:
        return (
            f"MmvModel({self.source!r}: {', '.join(self.inputs)}; space {self.space}, width "
            f"{self.width}, {jnp.dtype(self.dtype).name})"
        )

    @property
    def family(self) -> str:
        """Its system."""
        return "MMV"

    @property
    def space(self) -> str:
        """Where its vectors lie, unless a call asks for another."""
        return self._space

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text with vectors in its space, sorted."""
        return tuple(sorted(name for name in self._here if name != TEXT))

    @property
    def inputs(self) -> tuple[str, ...]:
        """`modalities`, and "text" where it lies in its space and the words are there."""
        reads = TEXT in self._here and self.words is not None
        return (*self.modalities, *((TEXT,) if reads else ()))

    @property
    def _here(self) -> list[str]:
        known = self.config.towers
        return [name for name in known if self.space in self.spaces(name)]

    def spaces(self, modality: str) -> tuple[str, ...]:
        """The spaces that a modality lies in.

        Raises:
          ConfigError: for a modality the model does not have.
        """
        self._require(modality)
        return spaces.of_modality(self.config, modality)

    @property
    def _fold(self) -> int:
        """What frames, rows and columns of a clip are multiples of."""
        video = self.config.video
        return FOLD if isinstance(video, S3DConfig) and video.space_to_depth else 1

    @property
    def width(self) -> int:
        """Length of the vectors in its space."""
        return self.width_in(None)

    def width_in(self, space: str | None = None) -> int:
        """Length of the vectors in a space; None is its own."""
        graph, wanted = self.config.graph, space or self.space
        return next(
            graph.heads[route.head].width
            for modality, one, route in graph.routes()
            if one == wanted and modality in self.config.towers
        )

    @property
    def reader(self) -> readers.Bags:
        """How it reads texts.

        Raises:
          ConfigError: there is no text tower, or no words.
        """
        self._check(TEXT, next(iter(self.spaces(TEXT))))
        assert self.words is not None
        return readers.Bags(self.words, specs.of_text(self.specs))

    @property
    def frames(self) -> int | None:
        """Frames of a video where they are others than in training; None for as many."""
        spec = self.specs.get("video")
        now = spec.frames if isinstance(spec, specs.VideoSpec) else None
        return None if now == self._trained else now

    @property
    def trained_frames(self) -> int | None:
        """Frames of a video in training; None for a model without video."""
        return self._trained

    @functools.cached_property
    def logit_scale(self) -> dict[str, float]:
        """Log of the inverse temperature by modality, which was fixed in training."""
        return dict.fromkeys(self.modalities, -math.log(TEMPERATURE))

    def feature_width(self, modality: str) -> int:
        """Length of the vectors of `features`, of one of its modalities."""
        self._require(modality)
        return self.config.towers[modality].width

    def _require_comparable(self, what: str, **rows: np.ndarray) -> None:
        """As of other models; nor may they lie in two spaces, as they know or by their length."""
        super()._require_comparable(what, **rows)
        parts = tuple(rows.values())
        told = {space_of(one) for one in parts} - {None}
        shapes = [np.shape(one) for one in parts]
        widths, axes = {one[-1:] for one in shapes}, {len(one) for one in shapes}
        if len(axes) == 1 and (len(told) > 1 or len(widths) > 1):  # else their shape is told
            known = ", ".join(f"{x} ({self.width_in(x)})" for x in spaces.names(self.config))
            raise errors.ConfigError(
                f"{what}: vectors of {counts(*parts)}, which lie in two spaces and do not "
                f"compare; the spaces are {known}: {spaces.told(self.config)}; embed all in one."
            )

    @property
    def _told(self) -> str:
        known = "" if self.words is None else "\n".join(self.words.vocabulary)
        told = f"{self._weights.digest} {self.space} {known}"
        return hashlib.sha256(told.encode()).hexdigest()

    def _tower(self, modality: str) -> dict[str, Any]:
        return {name: self._parameters.part(name) for name in (modality, HEADS)}

    def _program(self, what: str, space: str | None) -> Callable[..., jax.Array]:
        return self._made(space or self.space)[what]

    def _require(self, modality: str) -> None:
        if modality not in self.config.towers:
            known = tuple(self.config.towers)
            raise errors.ConfigError(
                f"this model has no {modality!r}; it has "
                f"{', '.join(known)}.{errors.nearest(modality, known)}"
            )

    def _check(self, modality: str, space: str | None = None) -> None:
        self._require(modality)
        spaces.require(self.config, modality, space or self.space)
        if modality == TEXT and self.words is None:
            folder = Path(self._weights.where)
            folder = folder if folder.is_dir() else folder.parent
            raise errors.ConfigError(
                f"{self._weights.where}: no {FILE}, the words that the rows of its table stand "
                f"for, so texts cannot be read; put it there as {folder / FILE}, one word a line."
            )

    def _check_input(self, modality: str, array: np.ndarray) -> None:
        if modality == TEXT:
            tower = self.config.text
            assert tower is not None  # `_check` has seen
            most = specs.of_text(self.specs).context
            fits = array.ndim == 2 and array.dtype.kind in "iu" and 0 < array.shape[1] <= most
            fits = fits and (not array.size or (array.min() >= 0 and array.max() < tower.vocab))
            expected = f"whole numbers [n, up to {most}] below {tower.vocab}"
        else:
            shape = specs.shape(self.specs[modality])
            free = modality in self.any_size
            inner, fold = array.shape[1:], self._fold if free else 1
            fits = array.dtype.kind in "fV" and (  # V: bfloat16
                len(inner) == len(shape) and inner[-1] == shape[-1] and 0 not in inner
                if free
                else inner == shape
            )
            fits = fits and not any(size % fold for size in inner[:-1])
            told = ("frames", "height", "width", shape[-1]) if free else shape
            expected = f"floating point [n, {', '.join(map(str, told))}]"
            expected += f", multiples of {fold}" if fold > 1 else ""
        if not fits:
            raise errors.ConfigError(
                f"encode: {modality} takes {expected}, as model.preprocess gives it; got "
                f"{array.dtype} {list(array.shape)}."
            )


def read_specs(weights: mmv_files.MmvWeights) -> dict[str, specs.Spec]:
    """The preprocessing of every tower: what the weights state, the preset "mmv" for the rest.

    Raises:
      CheckpointError: for fields that no spec has.
    """
    usual = PRESETS["default"]
    found = {}
    try:
        for name in weights.config.towers:
            known = specs.to_dict(specs.preset(name, usual))
            found[name] = specs.from_dict(name, {**known, **weights.preprocess.get(name, {})})
    except errors.ConfigError as error:
        raise errors.CheckpointError(
            f"{weights.where}: {str(error).removesuffix('.')}; write the checkpoint again."
        ) from error
    return found


def with_frames(
    stated: dict[str, specs.Spec], frames: int | None, where: object
) -> dict[str, specs.Spec]:
    """Specs with another number of frames; None leaves them.

    Raises:
      ConfigError: for a model without video, or a number that is none.
    """
    if frames is None:
        return stated
    if "video" not in stated:
        raise errors.ConfigError(f"frames is {frames}, and {where} has no video; leave it out.")
    fields = {**specs.to_dict(stated["video"]), "frames": frames}
    return {**stated, "video": specs.from_dict("video", fields)}


def read_words(weights: mmv_files.MmvWeights) -> Words | None:
    """The words beside the weights; None for a model without texts, or where they are not there.

    Raises:
      CheckpointError: when they are those of another model.
    """
    tower, file = weights.config.text, weights.words
    if tower is None or file is None:
        return None
    found = Words.read(file)
    if len(found) != tower.vocab:
        raise errors.CheckpointError(
            f"{file}: {len(found)} words, and the table has {tower.vocab} rows; put the words that "
            "the model was trained with there."
        )
    return found


@functools.lru_cache(maxsize=16)
def compiled(
    config: MmvConfig, dtype: jnp.dtype, mesh: Mesh, space: str
) -> dict[str, Callable[..., jax.Array]]:
    """The programs of a model in a space, see `Encoder`; compiled once for all weights."""
    model = Mmv(config, dtype=dtype)

    def project(params: Any, modality: str, batch: jax.Array) -> jax.Array:
        return model.run(params, {modality: batch}).embeddings[modality][space]

    def encode(params: Any, modality: str, batch: jax.Array) -> jax.Array:
        return unit(project(params, modality, batch))

    def features(params: Any, modality: str, batch: jax.Array) -> jax.Array:
        return model.run(params, {modality: batch}).features[modality].pooled

    found = {"encode": encode, "project": project, "features": features}
    return {name: programs.spread(one, mesh) for name, one in found.items()}

"""LanguageBind, CLIP and ImageBind as `lb_jax.load` gives them: `load`, and what it returns."""

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.convert import hub
from lb_jax.convert.parts import Weights
from lb_jax.convert.weights import open_weights
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.inference import encoder, identity, programs
from lb_jax.inference import frames as frames_lib
from lb_jax.media import settings as settings_lib
from lb_jax.media import specs
from lb_jax.text import readers

# Every tower runs on batches of exactly this many items per device (the last one padded), so a
# batch of 1 equals a batch of N.
BATCH_SIZE = 32


def load(
    source: str | Path | Mapping[str, str | Path],
    *,
    dtype: Any = jnp.float32,
    preset: str = "default",
    merge_lora: bool = False,
    config: str | Path | Mapping[str, Any] | None = None,
    devices: Sequence[jax.Device] | None = None,
    batch_size: int = BATCH_SIZE,
    frames: int | None = None,
    modalities: Collection[str] | None = None,
    depth_unit: str | float | None = None,
    thermal_range: tuple[float, float] | None = None,
    thermal_unit: str | None = None,
    depth_camera: str | float | None = None,
    imu_units: str | None = None,
    imu_rate: float | None = None,
    imu_columns: str | None = None,
    imu_interpolate: float | None = None,
    imu_short: str | None = None,
) -> "Model":
    """Opens trained weights of any kind.

    Args:
      source: hub name such as "LanguageBind/LanguageBind_Video_FT", folder, file, our own
        checkpoint or the work directory of a finished run; "demo", the small model that comes with
        the package; or a mapping of modalities to published weights, {"video": …, "audio": …},
        which must share one text tower. Equal arrays are kept once.
      dtype: of parameters and compute; `jnp.bfloat16` halves the memory. Embeddings are float32.
      preset: preprocessing of published weights, "default" or "reference" (the original's, see
        `lb_jax.media.specs`); our own checkpoints bring theirs.
      merge_lora: fold LoRA factors of published weights into the kernels; otherwise they stay
        adapters.
      config: for published weights without a config, see `lb_jax.convert.source.open_source`.
      devices: each holds the whole model and takes its part of a batch; all of this process when
        None.
      batch_size: items that each device encodes at once; halved when its memory runs out.
      frames: of a video, instead of as many as it was trained with; the time embedding is
        interpolated, see `lb_jax.inference.frames`.
      modalities: those that are wanted besides text; None is all. Towers are read when they are
        first used, so this saves nothing but mistakes, and the vectors are those of the whole
        model.
      depth_unit: of depth maps of whole numbers: metres per unit, or the name of a data set or
        camera ("tum", "kitti", …), see docs/media.md; otherwise what the checkpoint states,
        millimetres as a rule.
      thermal_range: lowest and highest temperature that thermal pictures show, in kelvin.
      thermal_unit: how the numbers of thermal pictures are told, see docs/media.md.
      depth_camera: of a model that takes disparity, see docs/media.md.
      imu_units, imu_rate, imu_columns, imu_interpolate, imu_short: of motion, for a model that has
        it; see docs/media.md.

    Raises:
      CheckpointError: when the weights are damaged, or do not fit their config.
      ConfigError: for text towers that differ, a name that is not to be had, another dtype, frames
        for a model without video, a unit or range that is none or of a modality that the model
        lacks, and modalities that it does not have.
    """
    dtype = programs.compute_dtype(dtype)
    settings = settings_lib.Settings(
        depth_unit=depth_unit,
        thermal_range=thermal_range,
        thermal_unit=thermal_unit,
        depth_camera=depth_camera,
        imu_units=imu_units,
        imu_rate=imu_rate,
        imu_columns=imu_columns,
        imu_interpolate=imu_interpolate,
        imu_short=imu_short,
    )
    weights = open_weights(source, config=config, merge_lora=merge_lora)
    if frames is not None and frames != frames_lib.trained(weights):
        weights = frames_lib.Interpolated(weights, frames)
    return Model(
        weights,
        dtype=dtype,
        preset=preset,
        devices=devices,
        batch_size=batch_size,
        settings=settings,
        source=hub.called(weights.where if isinstance(source, Mapping) else source),
        modalities=modalities,
    )


class Model(encoder.Encoder):
    """A trained LanguageBind, CLIP or ImageBind.

    Attributes:
      config: shape of the towers (`ModelConfig`).
      specs, settings, dtype, source, any_size: see `Encoder`.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        dtype: Any = jnp.float32,
        preset: str = "default",
        devices: Sequence[jax.Device] | None = None,
        batch_size: int = BATCH_SIZE,
        settings: settings_lib.Settings = settings_lib.NOTHING,
        source: str | None = None,
        modalities: Collection[str] | None = None,
    ):
        self._chosen = _chosen(weights, modalities)
        super().__init__(
            weights,
            identity.read_specs(weights, preset),
            dtype=dtype,
            kept=dtype,
            devices=devices,
            batch_size=batch_size,
            settings=settings,
            source=source,
        )
        self.config, self._read = weights.config, weights
        self._programs = dict(programs.compiled(self.config, jnp.dtype(dtype), self._mesh))

    def __repr__(self) -> str:
        names, width = ", ".join((*self.modalities, TEXT)), self.config.text.embed_dim
        return f"Model({self.source!r}: {names}; width {width}, {jnp.dtype(self.dtype).name})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return self._chosen

    @property
    def family(self) -> str:
        """What its vectors compare with, by name."""
        return self.config.kind.name

    @property
    def inputs(self) -> tuple[str, ...]:
        """`modalities` and "text"."""
        return (*self.modalities, TEXT)

    @property
    def width(self) -> int:
        """Length of its vectors."""
        return self.config.text.embed_dim

    @property
    def reader(self) -> readers.Pieces:
        """How it reads texts."""
        return readers.Pieces(specs.of_text(self.specs))

    @property
    def frames(self) -> int | None:
        """Frames of a video where they are others than in training; None for as many."""
        return self._read.frames if isinstance(self._read, frames_lib.Interpolated) else None

    @property
    def trained_frames(self) -> int | None:
        """Frames of a video in training; None for a model without video."""
        return frames_lib.trained(self._read)

    @functools.cached_property
    def logit_scale(self) -> dict[str, float]:
        """Log of what multiplies the cosine of a modality and a text, by modality.

        It is the inverse temperature of the modality; of a family whose outputs have one each, the
        product of its own and that of the text.
        """
        if not self.config.kind.own_scales:
            return self._log_scales
        scales = self.output_scale
        return {name: math.log(scales.get(name, 1.0) * scales[TEXT]) for name in self.modalities}

    @functools.cached_property
    def output_scale(self) -> dict[str, float]:
        """What the original multiplies vectors of length 1 by; empty where it leaves them so."""
        family = self.config.kind
        if not family.own_scales:
            return {}
        most = family.ceiling or math.inf
        return {name: min(math.exp(log), most) for name, log in self._log_scales.items()}

    @functools.cached_property
    def _log_scales(self) -> dict[str, float]:
        return {name: float(scale) for name, scale in self._parameters.part("logit_scale").items()}

    def feature_width(self, modality: str) -> int:
        """Length of the vectors of `features`, of one of `modalities`."""
        self._require(modality)
        return (self.config.text if modality == TEXT else self.config.towers[modality]).width

    def _tower(self, modality: str) -> dict[str, Any]:
        """The parameters that a modality or the text needs."""
        if modality == TEXT:
            return {TEXT: self._parameters.part(TEXT)}
        base = self._parameters.part("base")  # first: towers share the leaves that equal it
        return {"base": base, "towers": {modality: self._parameters.part(f"towers/{modality}")}}

    def _program(self, what: str, space: str | None) -> Callable[..., jax.Array]:
        del space  # there is one
        return self._programs[what]

    def _require(self, modality: str) -> None:
        if modality != TEXT and modality not in self.modalities:
            known = (*self.modalities, TEXT)
            raise errors.ConfigError(
                f"this model has no {modality!r}; it has "
                f"{', '.join(known)}.{errors.nearest(modality, known)}"
            )

    def _check_input(self, modality: str, array: np.ndarray) -> None:
        if modality == TEXT:
            limit = self.config.text.vocab
            fits = array.ndim == 2 and array.dtype.kind in "iu"
            fits = fits and 0 < array.shape[1] <= self.config.text.context
            fits = fits and (not array.size or (array.min() >= 0 and array.max() < limit))
            expected = f"whole numbers [n, up to {self.config.text.context}] below {limit}"
        else:
            inner = self._item(modality)
            fits = array.shape[1:] == inner or self._clips(modality, array) is not None
            fits = fits and array.dtype.kind in "fV"  # V: bfloat16
            sides = f"{', '.join(map(str, inner))}]"
            expected = f"floating point [n, {sides}"
            expected += f" or [n, clips, {sides}" if self._has_clips(modality) else ""
        if not fits:
            raise errors.ConfigError(
                f"encode: {modality} takes {expected}, as model.preprocess gives it; got "
                f"{array.dtype} {list(array.shape)}."
            )

    def _item(self, modality: str) -> tuple[int, ...]:
        """Shape of what the tower of a modality takes at once."""
        tower = self.config.towers[modality]
        frames = [tower.frames] if MODALITIES[modality].has_frames else []
        return (*frames, *tower.frame)

    def _has_clips(self, modality: str) -> bool:
        """Whether an item may be several clips, each of which is seen by itself."""
        return modality in self.config.kind.clips

    def _clips(self, modality: str, array: np.ndarray) -> int | None:
        if modality == TEXT or not self._has_clips(modality):
            return None
        inner = self._item(modality)
        has_axis = array.ndim == len(inner) + 2 and array.shape[2:] == inner and array.shape[1]
        return array.shape[1] if has_axis else None

    def clips_of(self, modality: str) -> int:
        """As `Encoder.clips_of`."""
        if modality == TEXT:
            return 1
        self._require(modality)
        shape = specs.shape(self.specs[modality])
        return shape[0] if shape[1:] == self._item(modality) else 1


def _chosen(weights: Weights, wanted: Collection[str] | None) -> tuple[str, ...]:
    """Modalities besides text, sorted.

    Raises:
      ConfigError: for none, or some that the weights do not have.
    """
    known = tuple(sorted(weights.config.towers))
    if wanted is None:
        return known
    named = [wanted] if isinstance(wanted, str) else list(wanted)
    strange = [name for name in named if name not in (*known, TEXT)]
    if strange or not {*named} - {TEXT}:
        raise errors.ConfigError(
            f"modalities={wanted!r}: {weights.where} has {', '.join(known)}; choose some of them."
            f"{errors.nearest(strange[0], known) if strange else ''}"
        )
    return tuple(name for name in known if name in named)

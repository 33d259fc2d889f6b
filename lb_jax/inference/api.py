"""`lb_jax.load` and what it returns.

`embed`, `embed_long`, `encode`, `similarity`, `match_probability`, `logits`, `fuse`, `preprocess`.
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from lb_jax.convert.parts import Weights
from lb_jax.convert.weights import open_weights
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.evaluation import calibrations
from lb_jax.evaluation.metrics.calibration import Calibration
from lb_jax.inference import frames as frames_lib
from lb_jax.inference import identity, long, parameters, probability, programs, unit_vectors
from lb_jax.media import given, preprocess, specs
from lb_jax.media import settings as settings_lib
from lb_jax.models import languagebind
from lb_jax.text import sentences

# Every tower runs on batches of exactly this many items per device (the last one padded), so a
# batch of 1 equals a batch of N.
BATCH_SIZE = 32
MEMORY_RAN_OUT = "RESOURCE_EXHAUSTED"  # how XLA begins to say so


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
    depth_unit: str | float | None = None,
    thermal_range: tuple[float, float] | None = None,
    thermal_unit: str | None = None,
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
      depth_unit: of depth maps of whole numbers: metres per unit, or the name of a data set or
        camera ("tum", "kitti", …), see docs/media.md; otherwise what the checkpoint states,
        millimetres as a rule.
      thermal_range: lowest and highest temperature that thermal pictures show, in kelvin.
      thermal_unit: how the numbers of thermal pictures are told, see docs/media.md.

    Raises:
      CheckpointError: when the weights are damaged, or do not fit their config.
      ConfigError: for text towers that differ, a name that is not to be had, another dtype, frames
        for a model without video, and a unit or range that is none or of a modality that the model
        lacks.
    """
    dtype = programs.compute_dtype(dtype)
    settings = settings_lib.Settings(depth_unit, thermal_range, thermal_unit)
    weights = open_weights(source, config=config, merge_lora=merge_lora)
    if frames is not None and frames != frames_lib.trained(weights):
        weights = frames_lib.Interpolated(weights, frames)
    named = weights.where if isinstance(source, Mapping) else str(source)
    return Model(
        weights,
        dtype=dtype,
        preset=preset,
        devices=devices,
        batch_size=batch_size,
        settings=settings,
        source=str(Path(named).absolute()) if Path(named).exists() else named,
    )


class Model:
    """A trained model. Towers are read from disk and compiled when first used.

    Attributes:
      config: shape of the towers (`ModelConfig`).
      specs: preprocessing spec by modality, `text` included.
      settings: what of it was given to `load`, see `lb_jax.media.settings`.
      dtype: of parameters and compute.
      source: what `load` was given: a name, or the absolute path of files.
      any_size: modalities whose towers take clips of any number of frames and any size: none.
    """

    any_size: tuple[str, ...] = ()

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
    ):
        if batch_size < 1:
            raise errors.ConfigError(f"batch_size is {batch_size}, expected at least 1.")
        stated = identity.read_specs(weights, preset)
        self.config, self.dtype = weights.config, dtype
        self.specs, self.settings = settings.apply(stated, weights.where), settings
        self._stated = stated
        self._weights, self._each = weights, batch_size
        self.source = weights.where if source is None else source
        devices = jax.local_devices() if devices is None else devices
        self._mesh = Mesh(np.array(devices), (programs.AXIS,))
        self._parameters = parameters.Parameters(weights, dtype, self._mesh)
        self._encode, self._project, self._features = programs.compiled(
            self.config, jnp.dtype(dtype), self._mesh
        )

    def __repr__(self) -> str:
        names, width = ", ".join((*self.modalities, TEXT)), self.config.text.embed_dim
        return f"Model({self.source!r}: {names}; width {width}, {jnp.dtype(self.dtype).name})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return tuple(sorted(self.config.towers))

    @property
    def batch_size(self) -> int:
        """Items that are encoded at once on all devices together; fewer cost as much."""
        return self._each * self._mesh.size

    @property
    def frames(self) -> int | None:
        """Frames of a video where they are others than in training; None for as many."""
        return self._weights.frames if isinstance(self._weights, frames_lib.Interpolated) else None

    @property
    def trained_frames(self) -> int | None:
        """Frames of a video in training; None for a model without video."""
        return frames_lib.trained(self._weights)

    @property
    def folder(self) -> Path | None:
        """The checkpoint of this package that it was read from as it is; None for other weights."""
        return self._weights.folder

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the weights and of the config, preprocessing included.

        Vectors of models that differ in it must not be mixed.
        """
        return identity.digest(self._weights.digest, self.specs)

    @functools.cached_property
    def stated_digest(self) -> str:
        """`digest` without `settings`: of the model as its checkpoint states it.

        What was measured of it, such as a calibration, holds in any unit of the files.
        """
        return identity.digest(self._weights.digest, self._stated)

    @functools.cached_property
    def preprocessing(self) -> str:
        """Hash of the preprocessing of all modalities, 16 hex digits."""
        return identity.preprocessing(self.specs)

    @functools.cached_property
    def logit_scale(self) -> dict[str, float]:
        """Log of the inverse temperature by modality."""
        return {name: float(scale) for name, scale in self._parameters.part("logit_scale").items()}

    def embed(self, modality: str, items: Any, *, batch_size: int | None = None) -> np.ndarray:
        """Embeds media files or texts.

        Args:
          modality: one of `modalities`, or "text".
          items: paths, bytes, PIL images, arrays or a mix of them; for text, strings. A single one
            is a batch of one. A text of more tokens than the tower takes becomes the mean over its
            windows of whole sentences, see `lb_jax.text.sentences`.
          batch_size: see `encode`.

        Returns:
          float32 [n, e], unit norm. The same bytes give the same vector.

        Raises:
          DataError: naming the item that cannot be read.
          ConfigError: for a modality the model does not have.
        """
        self._check(modality)
        items = preprocess.as_list(items)
        if modality == TEXT:
            return self._embed_texts(items, batch_size)
        vectors = [np.zeros((0, self.config.text.embed_dim), np.float32)]
        for i in range(0, len(items), self.batch_size):
            array = self.preprocess(modality, items[i : i + self.batch_size])
            vectors.append(self.encode(modality, array, batch_size=batch_size))
        return np.concatenate(vectors)

    def _embed_texts(self, texts: Sequence[str], batch_size: int | None) -> np.ndarray:
        split = sentences.tokenize(texts, self.config.text.context, specs.of_text(self.specs).clean)
        rows = self.encode(TEXT, split.tokens, batch_size=batch_size)
        total = np.zeros((len(texts), rows.shape[1]), np.float32)
        for row, place, weight in zip(rows, split.text, split.weight, strict=True):
            total[place] += weight * row
        is_whole = np.bincount(split.text, minlength=len(texts)) == 1
        total[is_whole] = rows[is_whole[split.text]]
        total[~is_whole] = np.asarray(languagebind.unit(total[~is_whole]))
        return total

    def embed_long(
        self,
        media: given.Media,
        window_s: float,
        stride_s: float | None = None,
        modality: str | None = None,
    ) -> long.Moments:
        """Embeds a video or sound of any length, window by window.

        The file is decoded once, in one pass; the memory does not grow with its length.

        Args:
          media: path or bytes of a file, or (samples, rate).
          window_s: length of a window in seconds.
          stride_s: from one window to the next; None is `window_s`, without overlap.
          modality: "video", "audio" or "depth"; None goes by the ending of a path, which is never
            depth. A video file has both of the others.

        Returns:
          Times and vectors, see `long.Moments`; windows as in `lb_jax.media.windows`.

        Raises:
          DataError: for a file that cannot be used.
          ConfigError: for another modality, one that the model does not have, or lengths that are
            not above 0.
        """
        return long.embed(self, media, window_s, stride_s, modality)

    def preprocess(self, modality: str, items: Any) -> np.ndarray:
        """The array `encode` takes, by this model's own spec."""
        self._check(modality)
        return preprocess.preprocess(modality, items, self.specs[modality])

    def encode(
        self,
        modality: str,
        array: np.ndarray,
        *,
        unit: bool = True,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Embeds arrays that are preprocessed already: float32 [n, e].

        Where the memory of the devices runs out, batches are halved from then on, with a warning.

        Args:
          modality: one of `modalities`, or "text".
          array: [n, ...] as `preprocess` gives it.
          unit: whether the vectors have length 1, or the one that the tower gives them.
          batch_size: items at once on all devices together, each size compiled when first used;
            None is `self.batch_size`. Other sizes may differ in the last bits.

        Raises:
          ConfigError: for an array of another shape or type than `preprocess` gives, or a batch
            size that the devices cannot share.
          CheckpointError: for embeddings that are not finite.
        """
        self._check(modality)
        array = np.asarray(array)
        self._check_input(modality, array)
        params = self._tower(modality)
        width = self.config.text.embed_dim
        run = self._encode if unit else self._project
        return self._in_batches(run, params, modality, array, width, batch_size)

    def features(self, modality: str, array: np.ndarray) -> np.ndarray:
        """What a tower's projection takes, for classifiers on frozen features.

        Args:
          modality: one of `modalities`.
          array: [n, ...] as `preprocess` gives it.

        Returns:
          float32 [n, `feature_width`].

        Raises:
          ConfigError, CheckpointError: as `encode`.
        """
        width, array = self.feature_width(modality), np.asarray(array)
        self._check_input(modality, array)
        run, params = self._features, self._tower(modality)
        return self._in_batches(run, params, modality, array, width, None)

    def feature_width(self, modality: str) -> int:
        """Length of the vectors of `features`, of one of `modalities`."""
        self._check(modality)
        return (self.config.text if modality == TEXT else self.config.towers[modality]).width

    def _tower(self, modality: str) -> dict[str, Any]:
        """The parameters that a modality or the text needs."""
        if modality == TEXT:
            return {TEXT: self._parameters.part(TEXT)}
        base = self._parameters.part("base")  # first: towers share the leaves that equal it
        return {"base": base, "towers": {modality: self._parameters.part(f"towers/{modality}")}}

    def _in_batches(
        self,
        run: Callable[..., jax.Array],
        params: Any,
        modality: str,
        array: np.ndarray,
        width: int,
        batch_size: int | None,
    ) -> np.ndarray:
        """Runs a program on all items, float32 [n, width]."""
        vectors, done = [np.zeros((0, width), np.float32)], 0
        while done < len(array):
            each = self._each_device(batch_size)
            chunk = array[done : done + each * self._mesh.size]
            try:
                vectors.append(self._run(run, params, modality, chunk, each * self._mesh.size))
            except jax.errors.JaxRuntimeError as error:
                if MEMORY_RAN_OUT not in str(error) or each == 1:
                    raise
                self._each = each // 2
                warnings.warn(
                    f"the memory of the devices does not hold {each} items of {modality} each; "
                    f"going on with {self._each}.",
                    stacklevel=2,
                )
                continue
            done += len(chunk)
        return np.concatenate(vectors)

    def _each_device(self, batch_size: int | None) -> int:
        """Items of a batch on each device: as many as asked for, at most what memory held."""
        if batch_size is None:
            return self._each
        each, rest = divmod(batch_size, self._mesh.size)
        if rest or each < 1:
            raise errors.ConfigError(
                f"encode: a batch of {batch_size} cannot be shared by {self._mesh.size} devices; "
                "give a multiple of that."
            )
        return min(each, self._each)

    def _run(
        self,
        run: Callable[..., jax.Array],
        params: Any,
        modality: str,
        chunk: np.ndarray,
        size: int,
    ) -> np.ndarray:
        """Encodes up to `size` items as a batch of `size`."""
        padded = np.concatenate([chunk, np.repeat(chunk[:1], size - len(chunk), axis=0)])
        padded = self._parameters.put(padded, PartitionSpec(programs.AXIS))
        vectors = np.asarray(run(params, modality, padded))[: len(chunk)]
        if not np.isfinite(vectors).all():
            raise errors.CheckpointError(
                f"{modality} embeddings are not finite: the weights or the input hold NaN or "
                "infinity; check the array, or write the checkpoint again."
            )
        return vectors

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Cosine of every pair of unit vectors: [n, e] and [m, e] -> [n, m].

        Raises:
          ConfigError: for arrays that are not [n, e] and [m, e].
        """
        return unit_vectors.similarity(a, b)

    def logits(self, modality: str, a: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Cosine times the modality's inverse temperature, once: what training's softmax saw."""
        self._check(modality)
        if modality == TEXT:
            raise errors.ConfigError(
                f"logits: temperatures belong to {', '.join(self.modalities)}; name the modality "
                "of the first vectors."
            )
        return self.similarity(a, text) * np.exp(np.float32(self.logit_scale[modality]))

    @functools.cached_property
    def calibration(self) -> calibrations.Calibrations:
        """The curves from similarity to probability that lie beside the weights.

        Raises:
          ConfigError: when there are none, saying which command fits them.
          CheckpointError: when they are damaged, or of other weights.
        """
        return probability.read(self.folder, self._weights.where, self.stated_digest)

    def match_probability(
        self,
        modality: str,
        a: np.ndarray,
        b: np.ndarray,
        other: str = TEXT,
        *,
        prior: float = 0.5,
    ) -> np.ndarray:
        """How likely pairs of vectors belong together: [n, e] and [m, e] -> float64 [n, m].

        It is the probability of a pair drawn so that a share `prior` of pairs match. With the usual
        one half, 0.9 means: of such scores, nine come from an item with its own text for each one
        that comes from an item with the text of another. Where one of a thousand candidates is the
        right one, give `prior=1e-3`. It holds for data like those the curve was fitted to
        (`calibration.data`); the error on held-out items is in `calibration.pairs`.

        Args:
          modality: of the rows of `a`, unit vectors.
          a: [n, e].
          b: [m, e], unit vectors of `other`.
          other: another modality, or "text".
          prior: share of the pairs that match, above 0 and below 1.

        Raises:
          ConfigError: without a calibration of the pair, for a prior out of range, and for arrays
            that are not unit vectors of one length.
          CheckpointError: for a calibration that is damaged or of other weights.
        """
        return probability.match(self._curve(modality, other), a, b, prior)

    def threshold(self, modality: str, other: str = TEXT, *, prior: float = 0.5) -> float:
        """The similarity at which a pair is as likely to match as not.

        Raises:
          ConfigError: as `match_probability`.
          CheckpointError: as `match_probability`.
        """
        return self._curve(modality, other).threshold(prior)

    def _curve(self, modality: str, other: str) -> Calibration:
        self._check(modality)
        self._check(other)
        return probability.curve(self.calibration, modality, other)

    def fuse(
        self, vectors: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """One vector from whatever is there: the weighted mean of unit vectors, made unit again.

        Args:
          vectors: by modality (text allowed), each [n, e].
          weights: by modality; all equal when None.

        Raises:
          ConfigError: for no vectors, different numbers of them, a weight missing, numbers that are
            not finite, or a mean of length 0, which has no direction.
        """
        return unit_vectors.fuse(vectors, weights)

    def _check(self, modality: str) -> None:
        if modality != TEXT and modality not in self.config.towers:
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
            tower = self.config.towers[modality]
            frames = [tower.frames] if MODALITIES[modality].has_frames else []
            inner = (*frames, *tower.image_size, 3)
            fits = array.shape[1:] == inner and array.dtype.kind in "fV"  # V: bfloat16
            expected = f"floating point [n, {', '.join(map(str, inner))}]"
        if not fits:
            raise errors.ConfigError(
                f"encode: {modality} takes {expected}, as model.preprocess gives it; got "
                f"{array.dtype} {list(array.shape)}."
            )

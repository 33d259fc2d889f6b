"""What gives vectors of media and texts: what every such model does with its towers.

`embed`, `embed_long`, `encode`, `features`, `similarity`, `match_probability`, `logits`, `fuse`,
`preprocess`. Search, server and evaluation take any `Encoder`; `api.Model` and `mmv.MmvModel` are
two.
"""

import abc
import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import (
    abilities,
    comparing,
    identity,
    long,
    parameters,
    programs,
    unit_vectors,
)
from lb_jax.media import given, passes, preprocess, specs
from lb_jax.media import settings as settings_lib
from lb_jax.models import languagebind
from lb_jax.text.readers import Reader

MEMORY_RAN_OUT = "RESOURCE_EXHAUSTED"  # how XLA begins to say so


class Encoder(comparing.Comparing, abilities.Able):
    """A trained model that gives vectors. Towers are read from disk and compiled when first used.

    Args:
      weights: of the towers.
      stated: preprocessing by modality, as the weights state it.
      dtype: of compute.
      kept: type of the parameters.
      devices: each holds the whole model; all of this process when None.
      batch_size: items that each device encodes at once.
      settings: what is changed of the preprocessing.
      source: what was given to be opened; None for where the weights lie.

    Attributes:
      specs: preprocessing spec by modality, `text` included where it has a text tower.
      settings: what of it was given to `load`, see `lb_jax.media.settings`.
      dtype: of compute.
      source: what `load` was given: a name, or the absolute path of files.
      any_size: modalities whose towers take clips of any number of frames and any size.
      film: the clips that benchmarks take out of a film; None for one, as everywhere else.
    """

    lack = abilities.OF_ENCODERS
    any_size: tuple[str, ...] = ()
    film: passes.Passes | None = None

    def __init__(
        self,
        weights: parameters.Weights,
        stated: Mapping[str, specs.Spec],
        *,
        dtype: Any,
        kept: Any,
        devices: Sequence[jax.Device] | None = None,
        batch_size: int,
        settings: settings_lib.Settings = settings_lib.NOTHING,
        source: str | None = None,
    ):
        programs.require_batch(batch_size)
        self.dtype, self.settings = dtype, settings
        self.source = str(weights.where) if source is None else source
        self.specs = settings.apply(stated, self.source)
        self._stated, self._weights, self._each = stated, weights, batch_size
        devices = jax.local_devices() if devices is None else devices
        self._mesh = Mesh(np.array(devices), (programs.AXIS,))
        self._parameters = parameters.Parameters(weights, kept, self._mesh)

    @property
    @abc.abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """All that it embeds: `modalities`, and "text" where it reads texts."""

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Length of its vectors."""

    @property
    @abc.abstractmethod
    def reader(self) -> Reader:
        """How it reads texts.

        Raises:
          ConfigError: it reads none.
        """

    @property
    @abc.abstractmethod
    def frames(self) -> int | None:
        """Frames of a video where they are others than in training; None for as many."""

    @property
    @abc.abstractmethod
    def trained_frames(self) -> int | None:
        """Frames of a video in training; None for a model without video."""

    @property
    @abc.abstractmethod
    def logit_scale(self) -> dict[str, float]:
        """Log of the inverse temperature by modality."""

    @abc.abstractmethod
    def feature_width(self, modality: str) -> int:
        """Length of the vectors of `features`, of one of `modalities`."""

    @abc.abstractmethod
    def _require(self, modality: str) -> None:
        """Raises `ConfigError` for what the model has no tower for."""

    def _check(self, modality: str, space: str | None = None) -> None:
        """Raises `ConfigError` for what the model does not embed, or not in that space."""
        self._require(modality)
        if space is not None:
            raise errors.ConfigError(
                f"space is {space!r}, and this model has one space for all; leave it out."
            )

    @abc.abstractmethod
    def _check_input(self, modality: str, array: np.ndarray) -> None:
        """Raises `ConfigError` for an array that the tower does not take."""

    def _clips(self, modality: str, array: np.ndarray) -> int | None:
        """Clips of an item of an array that `_check_input` let pass; None without such an axis."""
        del modality, array
        return None

    def clips_of(self, modality: str) -> int:
        """Clips that the array of an item is, each of which is seen by itself."""
        del modality
        return 1

    def at_once(self, modality: str) -> int:
        """Items whose arrays are in memory together: a batch of them, or of their clips."""
        return max(1, self.batch_size // self.clips_of(modality))

    @property
    def as_published(self) -> dict[str, bool]:
        """Arguments of `encode` for the vectors whose products the original compares."""
        return {"scaled": True} if self.output_scale else {"unit": False}

    @abc.abstractmethod
    def _tower(self, modality: str) -> dict[str, Any]:
        """The parameters that a modality or the text needs."""

    @abc.abstractmethod
    def _program(self, what: str, space: str | None) -> Callable[..., jax.Array]:
        """A compiled function (params, modality, batch) -> float32 [b, e].

        Args:
          what: "encode" gives vectors of length 1, "project" those that the towers give, "features"
            what lies before their projection.
          space: in which they lie; None is the model's own.
        """

    def width_in(self, space: str | None = None) -> int:
        """Length of the vectors in a space; None is the model's own."""
        del space  # there is one, where nothing else is said
        return self.width

    @property
    def batch_size(self) -> int:
        """Items that are encoded at once on all devices together; fewer cost as much."""
        return self._each * self._mesh.size

    @property
    def folder(self) -> Path | None:
        """The checkpoint of this package that it was read from as it is; None for other weights."""
        return self._weights.folder

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the weights and of the config, preprocessing included.

        Vectors of models that differ in it must not be mixed.
        """
        return identity.digest(self._told, self.specs)

    @functools.cached_property
    def stated_digest(self) -> str:
        """`digest` without `settings`: of the model as its checkpoint states it.

        What was measured of it, such as a calibration, holds in any unit of the files.
        """
        return identity.digest(self._told, self._stated)

    @property
    def _told(self) -> str:
        """Hash of all that tells the model apart but its preprocessing."""
        return self._weights.digest

    @functools.cached_property
    def preprocessing(self) -> str:
        """Hash of the preprocessing of all modalities, 16 hex digits."""
        return identity.preprocessing(self.specs)

    def embed(
        self,
        modality: str,
        items: Any,
        *,
        batch_size: int | None = None,
        space: str | None = None,
    ) -> np.ndarray:
        """Embeds media files or texts.

        Args:
          modality: one of `modalities`, or "text".
          items: paths, bytes, PIL images, arrays or a mix of them; for text, strings. A single one
            is a batch of one. A text of more tokens than the tower takes becomes the mean over its
            windows, see `lb_jax.text.readers`.
          batch_size: see `encode`.
          space: see `encode`.

        Returns:
          float32 [n, e], unit norm. The same bytes give the same vector.

        Raises:
          DataError: naming the item that cannot be read.
          ConfigError: for a modality or a space that the model does not have.
        """
        self._check(modality, space)
        items = preprocess.as_list(items)
        if modality == TEXT:
            return self._embed_texts(items, batch_size, space)
        vectors = [np.zeros((0, self.width_in(space)), np.float32)]
        step = self.at_once(modality)
        for i in range(0, len(items), step):
            array = self.preprocess(modality, items[i : i + step])
            vectors.append(self.encode(modality, array, batch_size=batch_size, space=space))
        return unit_vectors.Vectors.of(np.concatenate(vectors), self.family, space or self.space)

    def _embed_texts(
        self, texts: Sequence[str], batch_size: int | None, space: str | None
    ) -> np.ndarray:
        split = self.reader.split(texts)
        rows = self.encode(TEXT, split.tokens, batch_size=batch_size, space=space)
        total = np.zeros((len(texts), rows.shape[1]), np.float32)
        for row, place, weight in zip(rows, split.text, split.weight, strict=True):
            total[place] += weight * row
        is_whole = np.bincount(split.text, minlength=len(texts)) == 1
        total[is_whole] = rows[is_whole[split.text]]
        total[~is_whole] = np.asarray(languagebind.unit(total[~is_whole]))
        return unit_vectors.Vectors.of(total, self.family, space or self.space)

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
        self._require(modality)
        if modality == TEXT:
            return self.reader.tokenize(preprocess.as_batch(TEXT, items))
        return preprocess.preprocess(modality, items, self.specs[modality])

    def encode(
        self,
        modality: str,
        array: np.ndarray,
        *,
        unit: bool = True,
        scaled: bool = False,
        batch_size: int | None = None,
        space: str | None = None,
    ) -> np.ndarray:
        """Embeds arrays that are preprocessed already: float32 [n, e].

        Where the memory of the devices runs out, batches are halved from then on, with a warning.
        Several clips of an item give the mean of their vectors of length 1.

        Args:
          modality: one of `modalities`, or "text".
          array: [n, ...] as `preprocess` gives it.
          unit: whether the vectors have length 1, or the one that the tower gives them; that of
            several clips is as long as their mean.
          scaled: what the original gives: vectors of length 1, the mean of them where there are
            several clips, times `output_scale`.
          batch_size: items at once on all devices together, each size compiled when first used;
            None is `self.batch_size`. Other sizes may differ in the last bits.
          space: of a model that has several; None is the one that it was loaded for.

        Raises:
          ConfigError: for an array of another shape or type than `preprocess` gives, a space that
            is none of the modality's, or a batch size that the devices cannot share; `scaled` of a
            model whose vectors have no temperature.
          CheckpointError: for embeddings that are not finite.
        """
        self._check(modality, space)
        array = np.asarray(array)
        self._check_input(modality, array)
        if scaled:
            unit_vectors.require_scales(self.source, self.output_scale)
        clips = self._clips(modality, array)
        what = "encode" if unit or scaled or clips is not None else "project"
        run, width = self._program(what, space), self.width_in(space)
        rows = self._of_items(run, modality, array, clips, width, batch_size)
        if scaled:
            rows = rows * np.float32(self.output_scale.get(modality, 1.0))
        elif clips is not None and unit:
            rows = np.asarray(languagebind.unit(rows))
        return unit_vectors.Vectors.of(rows, self.family, space or self.space)

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
        run, clips = self._program("features", None), self._clips(modality, array)
        return self._of_items(run, modality, array, clips, width, None)

    def _of_items(
        self,
        run: Callable[..., jax.Array],
        modality: str,
        array: np.ndarray,
        clips: int | None,
        width: int,
        batch_size: int | None,
    ) -> np.ndarray:
        """Runs a program on all items, the mean over their clips: float32 [n, width]."""
        params = self._tower(modality)
        if clips is None:
            return self._in_batches(run, params, modality, array, width, batch_size)
        array = array.reshape(-1, *array.shape[2:])
        rows = self._in_batches(run, params, modality, array, width, batch_size)
        return rows.reshape(-1, clips, width).mean(axis=1)

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

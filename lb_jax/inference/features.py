"""Clips to what a tower knows before its projection, for classifiers on frozen features.

Kept on disk and gone on with as `embedder` does it, in folders of their own.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.inference import embedder
from lb_jax.media import passes, specs


class Towers(Protocol):
    """A model with features; `api.Model` is one.

    Attributes:
      modalities: besides text, sorted.
      specs: preprocessing by modality.
      batch_size: items that are encoded at once.
      digest: hash of the weights, the config and the preprocessing.
      dtype: of parameters and compute.
      any_size: modalities whose towers take clips of any number of frames and any size; they are
        shown what the protocol says, others what their spec says.
    """

    modalities: tuple[str, ...]
    specs: Mapping[str, specs.Spec]
    batch_size: int
    digest: str
    dtype: Any
    any_size: Collection[str]

    def at_once(self, modality: str) -> int:
        """Items whose arrays are in memory together."""
        ...

    def features(self, modality: str, array: np.ndarray) -> np.ndarray:
        """Features float32 [n, width] of preprocessed arrays [n, ...]."""
        ...

    def feature_width(self, modality: str) -> int:
        """Length of the features of a modality."""
        ...


class Features(embedder.Embedder):
    """`Embedder` whose rows are features, float32 [n, v, width]; it takes no texts.

    Args:
      model: `Towers`.
      cache, threads, progress: as of `Embedder`.
    """

    def _width(self, name: str) -> int:
        if name == TEXT:
            raise errors.ConfigError("features are those of media; texts have embeddings only.")
        return self._model.feature_width(name)

    def _spec(self, modality: str, views: embedder.Views | None) -> specs.Spec:
        spec = self._model.specs[modality]
        if not isinstance(views, passes.Passes) or modality not in self._model.any_size:
            return spec
        assert isinstance(spec, specs.VideoSpec)
        return dataclasses.replace(spec, frames=views.frames, size=views.crop)

    def _run(self, modality: str, arrays: np.ndarray) -> np.ndarray:
        return self._model.features(modality, arrays)

    @property
    def _kind(self) -> str:
        return "-features"

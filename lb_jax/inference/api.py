"""`lb_jax.load` and what it returns.

`embed`, `encode`, `similarity`, `logits`, `fuse`, `preprocess`.
"""

import collections
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.data import preprocess, specs
from lb_jax.models import languagebind
from lb_jax.training.recipe import checkpoint_folder

# Every tower runs on batches of exactly this many items (the last one padded), so a batch of 1
# equals a batch of N.
BATCH_SIZE = 32


def load(source: str | Path, *, dtype=jnp.float32) -> "Model":
    """Opens an inference checkpoint, or the work directory of a finished run.

    Args:
      source: folder with `config.json` and `model.safetensors`, or a work directory that holds one
        as `checkpoint/`.
      dtype: compute dtype of the towers.

    Raises:
      CheckpointError: when there is none, or it is damaged.
    """
    return Model(checkpoint_folder(source), dtype=dtype)


class Model:
    """A trained model. Towers are read from disk and compiled when first used.

    Attributes:
      config: shape of the towers (`ModelConfig`).
      specs: preprocessing spec by modality, `text` included.
    """

    def __init__(self, folder: Path, *, dtype=jnp.float32):
        stored = checkpoint.load_config(folder)
        self.folder = folder
        self.config = languagebind.model_config(stored["model"])
        self.specs = {
            name: specs.from_dict(name, values) for name, values in stored["preprocess"].items()
        }
        self.specs[TEXT] = specs.TextSpec(context=self.config.text.context)
        self._model = languagebind.LanguageBind(self.config, dtype=dtype)
        self._parts: dict[str, Any] = {}
        self._encode = jax.jit(self._model.encode, static_argnums=1)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities besides text, sorted."""
        return tuple(sorted(self.config.towers))

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the weights and of the config, preprocessing included.

        Vectors of models that differ in it must not be mixed.
        """
        return checkpoint.file_digest(self.folder)

    @functools.cached_property
    def logit_scale(self) -> dict[str, float]:
        """Log of the inverse temperature by modality."""
        return {name: float(scale) for name, scale in self._part("logit_scale").items()}

    def embed(self, modality: str, items: Any) -> np.ndarray:
        """Embeds media files or texts.

        Args:
          modality: one of `modalities`, or "text".
          items: paths, bytes, PIL images, arrays or a mix of them; for text, strings. A single one
            is a batch of one.

        Returns:
          float32 [n, e], unit norm. The same bytes give the same vector.

        Raises:
          DataError: naming the item that cannot be read.
          ConfigError: for a modality the model does not have.
        """
        self._check(modality)
        items = preprocess.as_list(items)
        chunks = [items[i : i + BATCH_SIZE] for i in range(0, len(items), BATCH_SIZE)]
        vectors = [self.encode(modality, self.preprocess(modality, chunk)) for chunk in chunks]
        return (
            np.concatenate(vectors)
            if vectors
            else np.zeros((0, self.config.text.embed_dim), np.float32)
        )

    def preprocess(self, modality: str, items: Any) -> np.ndarray:
        """The array `encode` takes, by this model's own spec."""
        self._check(modality)
        return preprocess.preprocess(modality, items, self.specs[modality])

    def encode(self, modality: str, array: np.ndarray) -> np.ndarray:
        """Embeds arrays that are preprocessed already: float32 [n, e], unit norm."""
        self._check(modality)
        array = np.asarray(array)
        if modality == TEXT:
            params = {TEXT: self._part(TEXT)}
        else:
            params = {
                "base": self._part("base"),
                "towers": {modality: self._part(f"towers/{modality}")},
            }
        vectors = []
        for i in range(0, len(array), BATCH_SIZE):
            chunk = array[i : i + BATCH_SIZE]
            padded = np.concatenate([chunk, np.repeat(chunk[:1], BATCH_SIZE - len(chunk), axis=0)])
            vectors.append(np.asarray(self._encode(params, modality, padded))[: len(chunk)])
        return (
            np.concatenate(vectors)
            if vectors
            else np.zeros((0, self.config.text.embed_dim), np.float32)
        )

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Cosine of every pair of unit vectors: [n, e] and [m, e] -> [n, m]."""
        return np.asarray(a) @ np.asarray(b).T

    def logits(self, modality: str, a: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Cosine times the modality's inverse temperature, once: what training's softmax saw."""
        self._check(modality)
        return self.similarity(a, text) * np.exp(np.float32(self.logit_scale[modality]))

    def fuse(
        self, vectors: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """One vector from whatever is there: the weighted mean of unit vectors, made unit again.

        Args:
          vectors: by modality (text allowed), each [n, e].
          weights: by modality; all equal when None.

        Raises:
          ConfigError: for no vectors, different numbers of them, or a weight missing.
        """
        if not vectors or len({np.shape(v) for v in vectors.values()}) != 1:
            raise errors.ConfigError(
                "fuse takes equally shaped arrays [n, e]; got "
                f"{ ({k: np.shape(v) for k, v in vectors.items()}) }."
            )
        if weights is not None and set(weights) != set(vectors):
            raise errors.ConfigError(
                f"fuse: weights name {sorted(weights)}, vectors {sorted(vectors)}; name the "
                "same modalities in both."
            )
        total = sum(
            (weights or collections.defaultdict(lambda: 1.0))[name] * np.asarray(v)
            for name, v in vectors.items()
        )
        return np.asarray(languagebind.unit(total))

    def _check(self, modality: str) -> None:
        if modality != TEXT and modality not in self.config.towers:
            known = (*self.modalities, TEXT)
            raise errors.ConfigError(
                f"this model has no {modality!r}; it has "
                f"{', '.join(known)}.{errors.nearest(modality, known)}"
            )

    def _part(self, name: str) -> Any:
        """A part of the parameters (`base`, `towers/video`, …), read when first asked for."""
        if name not in self._parts:
            flat = paths.flatten(
                checkpoint.load_params(self.folder, lambda path: path.startswith(f"{name}/"))
            )
            self._parts[name] = paths.unflatten(
                {path.removeprefix(f"{name}/"): jnp.asarray(leaf) for path, leaf in flat.items()}
            )
        return self._parts[name]

"""`lb_jax.load` and what it returns.

`embed`, `encode`, `similarity`, `logits`, `fuse`, `preprocess`.
"""

import collections
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import MODALITIES, TEXT
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
        self.folder = folder
        self.config, self.specs = read_config(folder)
        self._model = languagebind.LanguageBind(self.config, dtype=dtype)
        check_weights(folder, self._model)
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
        # Tokens are small; taken all at once, an error names the text by its place in the list.
        size = len(items) or 1 if modality == TEXT else BATCH_SIZE
        chunks = [items[i : i + size] for i in range(0, len(items), size)]
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
        """Embeds arrays that are preprocessed already: float32 [n, e], unit norm.

        Raises:
          ConfigError: for an array of another shape or type than `preprocess` gives.
          CheckpointError: for embeddings that are not finite.
        """
        self._check(modality)
        array = np.asarray(array)
        self._check_input(modality, array)
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
            if not np.isfinite(vectors[-1]).all():
                raise errors.CheckpointError(
                    f"{modality} embeddings are not finite: the weights or the input hold NaN or "
                    "infinity; check the array, or write the checkpoint again."
                )
        return (
            np.concatenate(vectors)
            if vectors
            else np.zeros((0, self.config.text.embed_dim), np.float32)
        )

    def similarity(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Cosine of every pair of unit vectors: [n, e] and [m, e] -> [n, m].

        Raises:
          ConfigError: for arrays that are not [n, e] and [m, e].
        """
        a, b = np.asarray(a), np.asarray(b)
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
            raise errors.ConfigError(
                f"similarity takes [n, e] and [m, e]; got {list(a.shape)} and {list(b.shape)}."
            )
        return a @ b.T

    def logits(self, modality: str, a: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Cosine times the modality's inverse temperature, once: what training's softmax saw."""
        self._check(modality)
        if modality == TEXT:
            raise errors.ConfigError(
                f"logits: temperatures belong to {', '.join(self.modalities)}; name the modality "
                "of the first vectors."
            )
        return self.similarity(a, text) * np.exp(np.float32(self.logit_scale[modality]))

    def fuse(
        self, vectors: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """One vector from whatever is there: the weighted mean of unit vectors, made unit again.

        Args:
          vectors: by modality (text allowed), each [n, e].
          weights: by modality; all equal when None.

        Raises:
          ConfigError: for no vectors, different numbers of them, a weight missing, or a mean of
            length 0, which has no direction.
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
        if not np.linalg.norm(total, axis=-1).all():
            raise errors.ConfigError(
                "fuse: the weighted vectors add up to zero; give weights that do not cancel."
            )
        return np.asarray(languagebind.unit(total))

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


def read_config(folder: Path) -> tuple[languagebind.ModelConfig, dict[str, specs.Spec]]:
    """The towers of a checkpoint, and the preprocessing spec of each and of text.

    Raises:
      CheckpointError: when there is none, or its config is not one of ours.
    """
    stored, path = checkpoint.load_config(folder), Path(folder) / checkpoint.CONFIG
    try:
        config = languagebind.model_config(stored["model"])
        given = stored.get("preprocess")
        if not isinstance(given, dict) or set(given) != set(config.towers):
            raise errors.ConfigError(
                f'"preprocess" is of {sorted(given or ())}, the towers of {sorted(config.towers)}'
            )
        found = {name: specs.from_dict(name, one) for name, one in given.items()}
    except errors.ConfigError as error:
        raise errors.CheckpointError(
            f"{path}: {str(error).removesuffix('.')}; write the checkpoint again."
        ) from error
    return config, {**found, TEXT: specs.TextSpec(context=config.text.context)}


def check_weights(folder: Path, model: languagebind.LanguageBind) -> None:
    """Compares names and shapes of the stored weights with the model, without reading them.

    Raises:
      CheckpointError: naming what is missing, unexpected or of another shape.
    """
    stored = checkpoint.load_shapes(folder)
    expected = {f"logit_scale/{name}": () for name in model.modalities}
    expected |= {f"{TEXT}/{path}": leaf.shape for path, leaf in _leaves(model, TEXT)}
    shared = set()
    for name in model.modalities:
        for path, leaf in _leaves(model, name):
            own = f"towers/{name}/{path}"
            expected[own if own in stored else f"base/{path}"] = leaf.shape
            shared.add(f"base/{path}")  # may be there although every tower brings its own
    problems = [f"{path} is missing" for path in expected if path not in stored]
    problems += [
        f"{path} is {list(shape)}, expected {list(expected[path])}"
        for path, shape in stored.items()
        if path in expected and shape != expected[path]
    ]
    problems += [f"{path} is unexpected" for path in stored if path not in {*expected, *shared}]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise errors.CheckpointError(
            f"{Path(folder) / checkpoint.WEIGHTS}: does not fit {checkpoint.CONFIG}: "
            f"{problems[0]}{more}; write the checkpoint again."
        )


def _leaves(model: languagebind.LanguageBind, name: str) -> Iterable[tuple[str, Any]]:
    return paths.flatten(model.shapes(name)).items()

"""From media of any modality to its encoder's array: the modality table and the batch call."""

import os
import types
import typing
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from lb_jax.core import errors, modalities
from lb_jax.media import audio, depth, given, image, imu, specs, thermal, video
from lb_jax.media.sensors.depth_units import Measured
from lb_jax.text import spec as text_spec
from lb_jax.text import tokenizer

# Every row has `decode(media, spec)`, of what `specs.draws_frames` names with `rng=None` besides,
# and `transform(decoded, spec, rng=None)`.
MODULES: dict[str, types.ModuleType] = {
    "image": image,
    "video": video,
    "depth": depth,
    "thermal": thermal,
    "audio": audio,
    "imu": imu,
    modalities.TEXT: tokenizer,
}


def decode(
    modality: str,
    media: given.Media,
    spec: specs.Spec,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Decodes one item to the compact form of its modality.

    Args:
      modality: a key of `MODULES`.
      media: the item.
      spec: the preprocessing.
      rng: random generator of training, drawn from only where `specs.draws_frames` says so; None is
        evaluation, a pure function of the other arguments.

    Returns:
      uint8 [h, w, 3] (image, thermal), float32 metres [h, w] (depth), uint8 [t, h, w, 3] (video),
      float32 log-mel [frames, mel] or samples [n] (audio), float32 [n, 6] (imu), int32 [context]
      (text).

    Raises:
      errors.DataError: the item cannot be used.
      errors.ConfigError: no such modality.
    """
    if rng is not None and specs.draws_frames(spec):
        return _module(modality).decode(media, spec, rng=rng)
    return _module(modality).decode(media, spec)


def transform(
    modality: str, decoded: np.ndarray, spec: specs.Spec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Turns one decoded item into the array its encoder takes.

    Args:
      modality: a key of `MODULES`.
      decoded: what `decode` returned.
      spec: the preprocessing.
      rng: random generator of training; None is evaluation, a pure function of the other arguments.

    Returns:
      What `specs.shape` says, float32: [s, s, 3] or [s, s, 1] (image, thermal, depth),
      [t, s, s, 3] or [views, t, s, s, 3] (video), [mel, frames, 3] or other layouts (audio),
      [samples, 6] (imu); int32 [context] (text).

    Raises:
      errors.ConfigError: no such modality.
    """
    return _module(modality).transform(decoded, spec, rng)


def preprocess(
    modality: str,
    items: given.Media | Sequence[given.Media],
    spec: specs.Spec | None = None,
    *,
    preset: str = "default",
) -> np.ndarray:
    """Preprocesses items for evaluation.

    Args:
      modality: "image", "video", "depth", "thermal", "audio", "imu" or "text".
      items: one item or a list of them: paths, bytes, PIL images, arrays, mixed as one likes. One
        item is a batch of 1. A tuple (samples, rate) is one sound, (readings, rate) one motion; an
        array is one item, not a batch; a clip of still pictures is a list inside the list.
      spec: the preprocessing; None takes that of `preset`.
      preset: of `specs.PRESETS`.

    Returns:
      [b, ...] of what `transform` returns.

    Raises:
      errors.DataError: an item cannot be used, or there are none.
      errors.ConfigError: no such modality or preset, or the spec is of another modality.
    """
    _module(modality)
    spec = specs.preset(modality, preset) if spec is None else spec
    if type(spec) is not specs.SPECS[modality]:
        expected = specs.SPECS[modality].__name__
        raise errors.ConfigError(
            f"the spec for {modality} is of type {type(spec).__name__}, expected {expected}"
        )
    batch = as_batch(modality, items)
    if isinstance(spec, text_spec.TextSpec):  # as a whole, so that an error names the text's place
        text_spec.require_clip(spec)
        return tokenizer.tokenize(batch, spec.context, spec.clean)
    arrays = [transform(modality, _whole(modality, item, spec), spec) for item in batch]
    return np.stack(arrays) if len(arrays) > 1 else arrays[0][None]  # a view instead of a copy


def _whole(modality: str, item: given.Media, spec: specs.Spec) -> np.ndarray:
    """Decodes an item of which the user asked for nothing but itself."""
    decoded = decode(modality, item, spec)
    if isinstance(spec, specs.ImuSpec):
        imu.warn_of_cut(decoded, spec, given.describe(item))
    return decoded


def as_batch(modality: str, items: given.Media | Sequence[given.Media]) -> list[given.Media]:
    """One item or several -> a list of them.

    Raises:
      errors.DataError: there are none.
      errors.ConfigError: for what is neither.
    """
    batch = as_list(items)
    if not batch:
        raise errors.DataError(f"<{modality} batch>", "is empty, expected at least one item")
    return batch


def as_list(items: given.Media | Sequence[given.Media]) -> list[given.Media]:
    """One item or several -> a list of them.

    Raises:
      errors.ConfigError: for what is neither.
    """
    if not _is_one(items) and not isinstance(items, Iterable):
        raise errors.ConfigError(
            f"items are {items!r}; expected a path, bytes, image, array or text, or a list of them."
        )
    return [items] if _is_one(items) else list(items)


def _module(modality: str) -> types.ModuleType:
    if modality not in MODULES:
        known = ", ".join(MODULES)
        hint = errors.nearest(modality, MODULES)
        raise errors.ConfigError(f"no modality {modality!r}; expected one of {known}.{hint}")
    return MODULES[modality]


def _is_one(items: object) -> typing.TypeGuard[given.Media]:
    """Tells one item from a list of items; (samples, rate) is one."""
    if isinstance(items, tuple):
        return (
            len(items) == 2
            and isinstance(items[0], np.ndarray)
            and not isinstance(items[1], np.ndarray)
        )
    return isinstance(items, str | os.PathLike | bytes | Image.Image | np.ndarray | Measured)

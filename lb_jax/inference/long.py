"""A video, a sound or motion of any length -> times and vectors of its windows."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.media import given, windows
from lb_jax.media import specs as specs_lib

MODALITIES_WITH_TIME = ("video", "audio", "depth", "imu")
NAMED_BY_ENDING = ("video", "audio", "imu")  # films of depth are called like other films


class Encoder(Protocol):
    """What of `api.Model` windows are embedded by."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """As of `api.Model`."""
        ...

    @property
    def specs(self) -> Mapping[str, specs_lib.Spec]:
        """As of `api.Model`."""
        ...

    @property
    def trained_frames(self) -> int | None:
        """As of `api.Model`."""
        ...

    def at_once(self, modality: str) -> int:
        """As of `api.Model`."""
        ...

    def encode(self, modality: str, array: np.ndarray) -> np.ndarray:
        """As of `api.Model`."""
        ...


@dataclasses.dataclass(frozen=True)
class Moments:
    """The windows of a file.

    Attributes:
      modality: "video", "audio", "depth" or "imu".
      start_s: float64 [n], seconds from where the file begins to be shown, as players count.
      end_s: float64 [n], at most the length of the file.
      vectors: float32 [n, e], unit norm.
      frames: that were taken of each window; None without a time embedding.
      trained_frames: that the model was trained with; None without a time embedding. Where the two
        differ, it was interpolated (`lb_jax.inference.frames`).
    """

    modality: str
    start_s: np.ndarray
    end_s: np.ndarray
    vectors: np.ndarray
    frames: int | None = None
    trained_frames: int | None = None

    @property
    def is_interpolated(self) -> bool:
        """Whether the time embedding is not the trained one."""
        return self.frames != self.trained_frames

    def __len__(self) -> int:
        return len(self.vectors)


def embed(
    model: Encoder,
    media: given.Media,
    window_s: float,
    stride_s: float | None = None,
    modality: str | None = None,
) -> Moments:
    """See `api.Model.embed_long`."""
    modality = _by_ending(media) if modality is None else modality
    if modality not in MODALITIES_WITH_TIME or modality not in model.modalities:
        known = [name for name in MODALITIES_WITH_TIME if name in model.modalities]
        raise errors.ConfigError(
            f"embed_long takes {' or '.join(known) or 'video or audio, which this model lacks'}; "
            f"got {modality!r}.{errors.nearest(str(modality), known)}"
        )
    spec, times, vectors = model.specs[modality], [], []
    found = windows.windows(modality, media, spec, window_s, stride_s)
    for chunk in _chunks(found, model.at_once(modality)):
        times += [(one.start_s, one.end_s) for one in chunk]
        vectors.append(model.encode(modality, np.stack([one.array for one in chunk])))
    start_s, end_s = np.array(times, np.float64).T
    frames = (spec.frames, model.trained_frames) if isinstance(spec, specs_lib.VideoSpec) else ()
    return Moments(modality, start_s, end_s, np.concatenate(vectors), *frames)


def _chunks(found: Iterator[windows.Window], size: int) -> Iterator[list[windows.Window]]:
    chunk = []
    for one in found:
        chunk.append(one)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _by_ending(media: given.Media) -> str:
    if isinstance(media, str | os.PathLike):
        ending = Path(media).suffix.lower()
        for name in NAMED_BY_ENDING:
            if ending in MODALITIES[name].suffixes:
                return name
    endings = [end for name in NAMED_BY_ENDING for end in MODALITIES[name].suffixes]
    raise errors.ConfigError(
        f"embed_long: {given.describe(media)} does not say whether it is video, sound or motion; "
        f"give modality=, or a path ending in {', '.join(endings)}."
    )

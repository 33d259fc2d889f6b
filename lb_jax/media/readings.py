"""What a decoding process makes of a file: each modality by itself, or one item of several.

A reading is asked for modalities. `Windows` takes all that a file has; `Groups` the first of some
groups of modalities for which a file has everything, by the name of the group.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.media import given, items, preprocess, specs, tracks
from lb_jax.media import windows as windows_lib
from lb_jax.media.sensors import depth_units

CHUNK_BYTES = 8 << 20  # of arrays that are sent at once
LONG = ("video", "audio", "imu")  # modalities that are cut into windows


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Some windows of a file, or a still, or one item of several modalities.

    Attributes:
      modality: of all.
      times: start and end in seconds of each; None for what is whole.
      values: of each, float32 as `preprocess.transform` gives them: [n, ...], or of items with
        several modalities modality -> array.
    """

    modality: str
    times: tuple[tuple[float, float] | None, ...]
    values: np.ndarray | Sequence[Mapping[str, np.ndarray]]


class Reading(Protocol):
    """How files are read; it goes to other processes."""

    def having(self, path: str, modalities: Sequence[str]) -> tuple[str, ...]:
        """Which of the modalities asked for a file has.

        Raises:
          DataError: it cannot be read, or has not what is needed.
        """
        ...

    def arrays(self, media: given.Media, modality: str, depth_unit: str) -> Iterator[Arrays]:
        """What it is as a modality.

        Args:
          media: path or content of the file.
          modality: one of `having`.
          depth_unit: of its own, where it is read as depth.

        Raises:
          DataError: it cannot be decoded.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Windows:
    """Each modality by itself, video, sound and motion in windows of equal length.

    Attributes:
      specs: preprocessing by modality.
      window_s: length of a window.
      stride_s: from the beginning of one window to that of the next.
    """

    specs: Mapping[str, specs.Spec]
    window_s: float
    stride_s: float

    def having(self, path: str, modalities: Sequence[str]) -> tuple[str, ...]:
        """All that is asked for, but for the sound of a silent film."""
        if "audio" in modalities and _is_silent_film(path):
            return tuple(name for name in modalities if name != "audio")
        return tuple(modalities)

    def arrays(self, media: given.Media, modality: str, depth_unit: str) -> Iterator[Arrays]:
        """Windows, some at a time, or the one array of a still."""
        spec = self.specs[modality]
        if modality in LONG:
            yield from self._windows(media, modality, spec)
            return
        is_measured = depth_unit and modality == "depth"
        item = depth_units.Measured(media, depth_unit) if is_measured else media
        array = preprocess.transform(modality, preprocess.decode(modality, item, spec), spec)
        yield Arrays(modality, (None,), array[None])

    def _windows(self, media: given.Media, modality: str, spec: specs.Spec) -> Iterator[Arrays]:
        held: list[windows_lib.Window] = []
        for window in windows_lib.windows(modality, media, spec, self.window_s, self.stride_s):
            held.append(window)
            if (len(held) + 1) * window.array.nbytes > CHUNK_BYTES:
                yield _joined(modality, held)
                held = []
        if held:
            yield _joined(modality, held)


@dataclasses.dataclass(frozen=True)
class Groups:
    """The whole file as one item, by the first of the groups asked for that it has all of.

    Attributes:
      specs: preprocessing by modality.
      groups: name of a group -> the modalities that it takes.
    """

    specs: Mapping[str, specs.Spec]
    groups: Mapping[str, Sequence[str]]

    def having(self, path: str, modalities: Sequence[str]) -> tuple[str, ...]:
        """The first of the groups for which the file has everything."""
        return (
            items.first_group(items.of_file(path), {one: self.groups[one] for one in modalities}),
        )

    def arrays(self, media: given.Media, modality: str, depth_unit: str) -> Iterator[Arrays]:
        """The one item."""
        del depth_unit  # no group has depth
        wanted = {one: self.specs[one] for one in self.groups[modality]}
        yield Arrays(
            modality, (None,), [items.preprocess(dict.fromkeys(wanted, media), wanted).arrays]
        )


def _is_silent_film(path: str) -> bool:
    """Whether a file is a film without sound; of a damaged one decoding tells what is wrong."""
    if Path(path).suffix.lower() not in MODALITIES["video"].suffixes:
        return False
    try:
        return not tracks.has_track(path, "audio")
    except errors.DataError:
        return False


def _joined(modality: str, held: Sequence[windows_lib.Window]) -> Arrays:
    times = tuple((one.start_s, one.end_s) for one in held)
    return Arrays(modality, times, np.stack([one.array for one in held]))

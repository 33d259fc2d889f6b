"""A stand-in for a model, and media files: for tests that start many processes."""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.media import settings, specs
from tests.media import media_files

SPECS = {
    "image": specs.ImageSpec(size=32),
    "depth": specs.DepthSpec(size=32),
    "thermal": specs.ThermalSpec(size=32),
    "video": specs.VideoSpec(frames=2, size=32),
    "audio": specs.AudioSpec(mel_bins=16, target_frames=32),
}
WIDTH = 8


class Fake:
    """A vector is drawn from the bytes of its array: equal only where those are, bit by bit."""

    preprocessing, dtype, frames = "0" * 16, np.float32, None
    settings = settings.NOTHING
    width, space = WIDTH, None

    def __init__(self, batch_size=4, source="fake", **specs):
        self.specs, self.batch_size = SPECS | specs, batch_size
        self.source, self.digest = source, hashlib.sha256(source.encode()).hexdigest()
        self.modalities = tuple(sorted(self.specs))
        self.encoded = 0

    @property
    def calibration(self):
        raise errors.ConfigError("there is none")

    def at_once(self, modality):
        return self.batch_size

    def encode(self, modality, array):
        self.encoded += len(array)
        salt = np.frombuffer(self.digest[:8].encode(), np.uint32)
        rows = [np.append(salt, np.frombuffer(one.tobytes(), np.uint32)) for one in array]
        drawn = np.stack([np.random.default_rng(row).standard_normal(WIDTH) for row in rows])
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


class Deadly(specs.ImageSpec):
    """Breaks the process at pictures that begin in red, and never ends at those in blue."""

    def __getattribute__(self, name):
        picture = sys._getframe(1).f_locals.get("x")  # of `image.square`
        if name == "size" and picture is not None:
            red, _, blue = picture[0, 0].tolist()
            if red == 255:
                os.kill(os.getpid(), signal.SIGSEGV)
            if blue == 255:
                time.sleep(1000)
        return super().__getattribute__(name)


class _Faults:
    def __getattribute__(self, name):
        picture = sys._getframe(1).f_locals.get("x")  # of `image.square`
        if name == "size" and picture is not None and picture[..., 0, 0, 0].max() == 255:
            return picture.no_such_thing
        return super().__getattribute__(name)


class Faulty(_Faults, specs.ImageSpec):
    """Hits an error that nobody foresaw at pictures that begin in red."""


class FaultyFilm(_Faults, specs.VideoSpec):
    """The same at films, and at pictures that are films of one frame."""


def colour(red=0, blue=0, seed=0):
    """A PNG of noise below 200 whose first pixel has this colour."""
    array = np.random.default_rng(seed).integers(0, 200, (40, 40, 3), np.uint8)
    array[0, 0] = red, 0, blue
    return media_files.picture(array)


def write(folder: Path, count: int) -> Path:
    """Files of all kinds, in folders, none like another."""
    rng = np.random.default_rng(0)
    for number in range(count):
        kind = ("a", "depth", "ir-2", "sound", "film")[number % 5]
        content = {
            "a": lambda n=number: colour(seed=n),
            "depth": lambda: media_files.picture(
                rng.integers(500, 9000, (40, 40)).astype(np.uint16)
            ),
            "ir-2": lambda n=number: colour(seed=n),
            "sound": lambda: media_files.sound(media_files.noise(16000) * rng.uniform(0.1, 0.9)),
            "film": lambda n=number: media_files.clip(20 + n, sound=n % 2 == 0),
        }[kind]()
        suffix = {"sound": ".wav", "film": ".mp4"}.get(kind, ".png")
        path = folder / kind / f"{number:04}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder

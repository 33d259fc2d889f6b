"""OpenEXR: the channel of a file that is depth."""

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np

from lb_jax.core import errors
from lb_jax.media import extras, given
from lb_jax.media.sensors import maps

_QUIET = threading.Lock()


def read(file: BinaryIO, name: str) -> np.ndarray:
    """The map of a file, [h, w] as stored.

    Raises:
      DataError: damaged, too large, without a channel of depth, or OpenEXR is not there.
    """
    with extras.needed("an EXR file", "OpenEXR", name):
        import OpenEXR
    content = file.read()
    with maps.told("EXR", name), _quiet():
        header = OpenEXR.File(io.BytesIO(content), header_only=True, num_threads=0)
        for part in header.parts:
            low, high = (np.asarray(one, np.int64) for one in part.header["dataWindow"])
            width, height = map(int, high - low + 1)
            maps.require_size(width, height, name)
        opened = OpenEXR.File(io.BytesIO(content), separate_channels=True, num_threads=0)
        if len(opened.parts) < len(header.parts):  # it left out what it could not read
            raise errors.DataError(name, f"is an EXR file that is damaged; {given.AGAIN}")
        parts = [dict(part.channels) for part in opened.parts]
        several = len(parts) > 1
        pixels = {
            f"{number}.{key}" if several else key: np.asarray(one.pixels)
            for number, part in enumerate(parts)
            for key, one in part.items()
        }
    return pixels[_channel(pixels, name)]


def _channel(pixels: Mapping[str, np.ndarray], name: str) -> str:
    """The channel that is depth: `Z` of any layer, else one called depth, else the only one."""
    for is_one in (
        lambda key: key.rpartition(".")[2].lower() == "z",
        lambda key: "depth" in key.lower(),
        lambda key: len(pixels) == 1 or key in ("V", "Y"),
        lambda key: key == "R" and _are_equal(pixels),
    ):
        found = [key for key in pixels if is_one(key)]
        if len(found) == 1:
            return found[0]
    channels = ", ".join(map(maps.printable, list(pixels)[:8]))
    raise errors.DataError(
        name,
        f"is an EXR file of the channels {channels}; expected Z, a layer's ….Z or a single "
        "channel. Write the depth alone",
    )


def _are_equal(pixels: Mapping[str, np.ndarray]) -> bool:
    """Whether red, green and blue are the same, as programs write one channel three times."""
    return {"R", "G", "B"} <= set(pixels) and all(
        np.array_equal(pixels["R"], pixels[key], equal_nan=True) for key in "GB"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what OpenEXR says itself off the screen: it raises the same, or leaves parts out."""
    with (
        _QUIET,
        open(os.devnull, "wb") as nothing,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        before = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            others = [one for one in said.getvalue().splitlines(True) if "reading pixel" not in one]
    print("".join(others), end="")  # of other threads

"""What films with sound have in common, whatever is learnt from them: facts, and how one is drawn.

Each of a film's parts is drawn by a generator of its own, so that no part depends on another.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lb_jax.demo import media, render, scene, silhouettes, sound

STREAMS = ("geometry", "rgb", "sound", "words")

Generators = Mapping[str, np.random.Generator]


@dataclasses.dataclass(frozen=True)
class Film:
    """The facts of a film; every field but `split` is one of `scene.VALUES`."""

    split: str
    category: str
    colour: str
    motion: str
    source: str


def generators(seed: int, index: int) -> Generators:
    """A generator for each of `STREAMS`, of a film of a corpus."""
    return {
        stream: np.random.default_rng([seed, index, number])
        for number, stream in enumerate(STREAMS)
    }


def draw(film: Film, rng: Generators) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a film.

    Args:
      film: its facts.
      rng: of `generators`; "words" is left as it is.

    Returns:
      uint8 [16, h, w, 3] at 8 Hz; int16 [n], 2 s at 16 kHz; the object's place, float [16, 2].
    """
    silhouette = silhouettes.draw_pose(film.category, rng["geometry"])
    path = scene.draw_path(film.motion, silhouette.extent, rng["geometry"])
    frames = render.rgb(silhouettes.masks(silhouette, path), film.colour, rng["rgb"])
    return frames, sound.synthesise(film.source, rng["sound"]), path


def write(
    place: Path,
    film: Film,
    rng: Generators,
    heard: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda samples, path: samples,
) -> None:
    """Draws a film and writes it: 16 frames at 8 Hz, and 2 s of sound, mono, 16 kHz.

    Args:
      place: the file.
      film: its facts.
      rng: of `generators`; "words" is left as it is.
      heard: int16 [n] and the object's place, float [frames, 2] -> int16 [n], what is heard of it.
    """
    frames, samples, path = draw(film, rng)
    samples = heard(samples, path)
    rates = {"rate_hz": scene.FRAME_RATE_HZ, "sound_hz": sound.SAMPLE_RATE_HZ}
    media.write_film(place, frames, samples, **rates)

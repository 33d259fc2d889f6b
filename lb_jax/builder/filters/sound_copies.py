"""Films whose sound is that of one before, across the corpus, by Chromaprint's fingerprints.

The Python package (pyacoustid) is a binding of the system's library.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

SEEN = (("fingerprint", pa.binary()),)
FIGURES = (("copy_of", pa.string()), ("alike", pa.float32()))
BITS = 32  # of a piece of a fingerprint, an eighth of a second


@dataclasses.dataclass(frozen=True)
class SoundCopies:
    """Thresholds.

    Attributes:
      alike: share of the bits that two fingerprints have in common, from which on the later sound
        is a copy; one half have those of different sounds.
      shift: pieces, of an eighth of a second, by which one may begin later than the other.
      shortest_s: shorter sounds have no fingerprint, and stay.
    """

    alike: float = 0.9
    shift: int = 8
    shortest_s: float = 3.0

    def __post_init__(self):
        require(
            0.5 < self.alike <= 1 and self.shift >= 0,
            f"config.sound_copies: alike is {self.alike} and shift {self.shift}; expected above "
            "0.5 and at most 1, and 0 or more.",
        )


def wants(cfg: SoundCopies) -> stage.Wants:
    """No picture."""
    return stage.Wants()


def look(
    batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: SoundCopies
) -> list[stage.Verdict]:
    """The fingerprint of each film's sound; empty for one without, or too short."""
    return [stage.keep(fingerprint=_print(film.sound(), cfg)) for film in films]


def _print(sound: tuple[np.ndarray, int] | None, cfg: SoundCopies) -> bytes:
    if sound is None or len(sound[0]) < cfg.shortest_s * sound[1]:
        return b""
    import acoustid
    import chromaprint

    wave, rate_hz = sound
    pcm = (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes()
    coded = acoustid.fingerprint(rate_hz, 1, [pcm])
    numbers, _ = chromaprint.decode_fingerprint(coded)
    return np.array(numbers, np.uint32).tobytes()


def compare(rows: pa.Table, cfg: SoundCopies) -> list[stage.Verdict]:
    """Judges all films: one with the sound of one before that stays is left out."""
    kept: list[tuple[str, np.ndarray]] = []
    verdicts = []
    for item, coded in zip(
        rows[stage.ID].to_pylist(), rows["fingerprint"].to_pylist(), strict=True
    ):
        mine = np.frombuffer(coded, np.uint32)
        best, of = max(
            ((_alike(mine, other, cfg.shift), name) for name, other in kept), default=(0.0, "")
        )
        if len(mine) and best >= cfg.alike:
            told = f"sounds like {of} ({best:.0%} of the fingerprint)"
            verdicts.append(stage.refuse(told, copy_of=of, alike=best))
            continue
        verdicts.append(stage.keep(copy_of="", alike=best))
        if len(mine):
            kept.append((item, mine))
    return verdicts


def _alike(one: np.ndarray, other: np.ndarray, shift: int) -> float:
    """Largest share of equal bits of fingerprints uint32 [n] and [m], whatever the shift."""
    best = 0.0
    for by in range(-shift, shift + 1):
        a, b = one[max(by, 0) :], other[max(-by, 0) :]
        size = min(len(a), len(b))
        if 2 * size >= max(len(one), len(other)) and size:
            apart = int(np.bitwise_count(a[:size] ^ b[:size]).sum())
            best = max(best, 1 - apart / (BITS * size))
    return best

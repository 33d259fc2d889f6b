"""The sounds, synthesised.

Each has its own place in pitch, timbre and rhythm, and shows it in any 1.3 seconds.

A source is a function of the time axis `t` [n] in seconds, a `pitch` factor around 1 and a
generator. Pitch, onset, tempo, level and background noise vary from item to item.
"""

from collections.abc import Callable

import numpy as np

SAMPLE_RATE_HZ = 16_000
SECONDS = 2.0


def synthesise(source: str, rng: np.random.Generator) -> np.ndarray:
    """Returns int16 [32000], two seconds of the source at 16 kHz, mono."""
    pitch = 2 ** (rng.uniform(-1.5, 1.5) / 12)
    tempo = rng.uniform(0.92, 1.08)
    onset_s = rng.uniform(0, 2)
    t = onset_s + tempo * np.arange(int(SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    signal = PLAYERS[source](t, pitch, rng)
    signal = signal / np.abs(signal).max() * rng.uniform(0.3, 0.8)
    signal = signal + rng.uniform(0.001, 0.004) * rng.standard_normal(len(t))
    return np.round(np.clip(signal, -1, 1) * 32767).astype(np.int16)


def _sine(hertz: float, t: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * t)


def _harmonics(
    hertz: float, t: np.ndarray, count: int, falloff: float, step: int = 1
) -> np.ndarray:
    """A sum of partials 1, 1 + step, 1 + 2 step, …, each weaker by its number ** `falloff`."""
    partials = (_sine(hertz * k, t) / k**falloff for k in range(1, 1 + step * count, step))
    return sum(partials, start=np.zeros_like(t))


def _since(t: np.ndarray, rate_hz: float) -> np.ndarray:
    """Seconds since the latest beat."""
    return (t * rate_hz) % 1 / rate_hz


def _hits(t: np.ndarray, rate_hz: float, decay_s: float) -> np.ndarray:
    return np.exp(-_since(t, rate_hz) / decay_s)


def _gate(t: np.ndarray, rate_hz: float, on: float) -> np.ndarray:
    """1 for the share `on` of each period and 0 otherwise, with 5 ms edges."""
    since = _since(t, rate_hz)
    return np.clip(np.minimum(since, on / rate_hz - since) / 0.005, 0, 1)


def _hiss(t: np.ndarray, low_hz: float, high_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Noise between two frequencies, of unit variance."""
    hertz = np.fft.rfftfreq(len(t), 1 / SAMPLE_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(len(t))) * ((hertz >= low_hz) & (hertz <= high_hz))
    noise = np.fft.irfft(spectrum, len(t))
    return noise / noise.std()


def _ticking(t, pitch, rng):
    return _hiss(t, 2500 * pitch, 7500, rng) * _hits(t, 5, 0.006)


def _alarm(t, pitch, rng):
    return _harmonics(2050 * pitch, t, 2, 1.0, step=2) * _gate(t, 6, 0.5)


def _engine(t, pitch, rng):
    return _harmonics(55 * pitch, t, 10, 0.3) * (1 + 0.4 * _sine(13, t)) + 0.5 * _hiss(
        t, 40, 500, rng
    )


def _horn(t, pitch, rng):
    return (_harmonics(392 * pitch, t, 7, 0.6) + _harmonics(494 * pitch, t, 7, 0.6)) * _gate(
        t, 1.8, 0.85
    )


def _ringing(t, pitch, rng):
    return (
        (_sine(1250 * pitch, t) + _sine(1600 * pitch, t))
        * (0.5 + 0.5 * _sine(20, t))
        * _gate(t, 1.7, 0.65)
    )


def _buzzing(t, pitch, rng):
    return _harmonics(170 * pitch, t, 5, 0.2, step=2) * _gate(t, 2.4, 0.6)


def _propeller(t, pitch, rng):
    return _hiss(t, 350 * pitch, 1300 * pitch, rng) * (0.5 + 0.5 * _sine(11, t)) ** 2


def _jet(t, pitch, rng):
    return _hiss(t, 300, 3000, rng) + 2.5 * _sine(4600 * pitch, t)


def _doorbell(t, pitch, rng):
    ding, dong = (_sine(f * pitch, t) + 0.5 * _sine(3 * f * pitch, t) for f in (784, 622))
    return np.where((t * 2.4) % 2 < 1, ding, dong) * _hits(t, 2.4, 0.25)


def _knocking(t, pitch, rng):
    return (_sine(210 * pitch, t) + 0.4 * _hiss(t, 100, 700, rng)) * _hits(t, 4.5, 0.03)


def _chirping(t, pitch, rng):
    since = _since(t, 6)
    return np.sin(2 * np.pi * pitch * (3000 * since + 0.5 * 18000 * since**2)) * _gate(t, 6, 0.65)


def _cawing(t, pitch, rng):
    rough = 1 + 0.8 * _hiss(t, 20, 90, rng)
    return _harmonics(560 * pitch, t, 8, -0.2) * rough * _gate(t, 2.2, 0.6)


def _creaking(t, pitch, rng):
    swing_hz, depth_hz = 1.1, 600.0
    phase = 1300 * t - depth_hz / (2 * np.pi * swing_hz) * np.cos(2 * np.pi * swing_hz * t)
    return np.sin(2 * np.pi * pitch * phase) * (0.5 + 0.5 * _sine(40, t))


def _clanking(t, pitch, rng):
    return sum(_sine(f * pitch, t) for f in (1370, 2310, 3720, 5330, 6900)) * _hits(t, 3, 0.12)


def _rain(t, pitch, rng):
    drops = np.convolve(
        rng.random(len(t)) < 60 / SAMPLE_RATE_HZ, np.exp(-np.arange(160) / 32), mode="same"
    )
    return _hiss(t, 3000 * pitch, 7800, rng) * (0.1 + drops)


def _flapping(t, pitch, rng):
    return _hiss(t, 60, 600 * pitch, rng) * (0.5 + 0.5 * _sine(6.5, t)) ** 3


def _tolling(t, pitch, rng):
    partials = ((1, 1.0), (2.4, 0.6), (3, 0.4), (4.5, 0.3))
    return sum(a * _sine(233 * k * pitch, t) for k, a in partials) * _hits(t, 1.6, 0.35)


def _siren(t, pitch, rng):
    sweep_hz, depth_hz = 3.0, 150.0
    phase = 800 * t - depth_hz / (2 * np.pi * sweep_hz) * np.cos(2 * np.pi * sweep_hz * t)
    return sum(np.sin(2 * np.pi * pitch * k * phase) / k for k in (1, 2, 3))


def _dialling(t, pitch, rng):
    keys = (t * 4).astype(int)
    low = rng.choice((697, 770, 852, 941), keys.max() + 1)[keys]
    high = rng.choice((1209, 1336, 1477), keys.max() + 1)[keys]
    return (_sine(low * pitch, t) + _sine(high * pitch, t)) * _gate(t, 4, 0.6)


def _sputtering(t, pitch, rng):
    return _hiss(t, 80, 900 * pitch, rng) * _hits(t, 22 * pitch, 0.012)


def _dripping(t, pitch, rng):
    since = _since(t, 2.6)
    return np.sin(2 * np.pi * pitch * (700 * since + 0.5 * 9000 * since**2)) * _hits(t, 2.6, 0.05)


def _pecking(t, pitch, rng):
    wood = _sine(900 * pitch, t) + 0.3 * _hiss(t, 500, 1500, rng)
    return wood * _hits(t, 15, 0.012) * _gate(t, 1.8, 0.6)


def _rattling(t, pitch, rng):
    return _hiss(t, 1600 * pitch, 3200 * pitch, rng) * _hits(t, 11, 0.03)


def _howling(t, pitch, rng):
    return _hiss(t, 850 * pitch, 1000 * pitch, rng) * (0.6 + 0.4 * _sine(0.9, t))


PLAYERS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "ticking": _ticking,
    "alarm": _alarm,
    "tolling": _tolling,
    "engine": _engine,
    "horn": _horn,
    "siren": _siren,
    "ringing": _ringing,
    "buzzing": _buzzing,
    "dialling": _dialling,
    "propeller": _propeller,
    "jet": _jet,
    "sputtering": _sputtering,
    "doorbell": _doorbell,
    "knocking": _knocking,
    "dripping": _dripping,
    "chirping": _chirping,
    "cawing": _cawing,
    "pecking": _pecking,
    "creaking": _creaking,
    "clanking": _clanking,
    "rattling": _rattling,
    "rain": _rain,
    "flapping": _flapping,
    "howling": _howling,
}

"""The sounds of the demo corpus."""

import numpy as np

from lb_jax.demo import scene, sound

WINDOW = int(1.3 * sound.SAMPLE_RATE_HZ)


def features(samples):
    """Mean and spread over time of the log energy in 24 bands, and the rhythm.

    The rhythm is the spectrum of the loudness.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples / 32768, 400)[::160] * np.hanning(
        400
    )  # [t, 400]
    power = np.abs(np.fft.rfft(frames, 512)) ** 2  # [t, 257]
    edges = np.unique(np.round(256 * (np.geomspace(1, 20, 25) - 1) / 19).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    bands -= bands.mean()
    return np.concatenate([bands.mean(0), bands.std(0)])


def test_every_source_has_a_player():
    assert set(sound.PLAYERS) == set(scene.VALUES["source"])


def test_sound_is_two_seconds_of_16_bit_without_clipping():
    for source in scene.VALUES["source"]:
        samples = sound.synthesise(source, np.random.default_rng(0))
        assert samples.dtype == np.int16
        assert samples.shape == (32_000,)
        assert 0.25 * 32767 < np.abs(samples).max() < 32767


def test_sources_are_apart_in_any_window():
    rng = np.random.default_rng(7)

    def cut(source):
        start = rng.integers(32_000 - WINDOW)
        return features(sound.synthesise(source, rng)[start : start + WINDOW])

    centres = {source: np.mean([cut(source) for _ in range(6)], axis=0) for source in sound.PLAYERS}
    hits = [
        min(centres, key=lambda s: np.linalg.norm(centres[s] - heard)) == source
        for source in sound.PLAYERS
        for heard in [cut(source) for _ in range(4)]
    ]
    assert np.mean(hits) >= 0.95

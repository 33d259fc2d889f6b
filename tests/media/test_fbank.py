import numpy as np
import pytest

from lb_jax.media import fbank
from tests.media import sounds

RATE = 16000


def test_frames_are_whole_windows_only():
    assert [fbank.num_frames(n, RATE) for n in (0, 399, 400, 559, 560, 163872)] == [
        0,
        0,
        1,
        1,
        2,
        1022,
    ]


def test_frames_and_steps_are_rounded_down_as_by_kaldi():
    """At 11025 Hz a frame is 275.6 samples and a step 110.25, at 22050 Hz 551.25 and 220.5."""
    assert [fbank.num_frames(n, 11025) for n in (274, 275, 384, 385)] == [0, 1, 1, 2]
    assert [fbank.num_frames(n, 22050) for n in (550, 551, 770, 771)] == [0, 1, 1, 2]


def test_silence_lies_on_the_floor():
    mel = fbank.log_mel(np.zeros(RATE, np.float32), RATE, 112)
    np.testing.assert_allclose(mel, -15.942385, atol=1e-5)


def test_blocks_do_not_show(monkeypatch):
    wave = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    whole = fbank.log_mel(wave, RATE, 112)
    monkeypatch.setattr(fbank, "BLOCK_FRAMES", 7)
    np.testing.assert_allclose(fbank.log_mel(wave, RATE, 112), whole, atol=2e-6)


@pytest.mark.parametrize("frame", [0, 1, 97])
def test_a_frame_equals_the_recipe_written_out(frame):
    whole = np.random.default_rng(1).normal(0.2, 0.1, RATE)
    wave = whole[160 * frame : 160 * frame + 400]
    x = wave - wave.mean()
    x = np.array([x[i] - 0.97 * x[max(i - 1, 0)] for i in range(400)])
    x *= [0.5 - 0.5 * np.cos(2 * np.pi * i / 399) for i in range(400)]
    spectrum = np.abs(np.fft.rfft(x, 512)) ** 2

    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    low, step = mel(20), (mel(8000) - mel(20)) / 113
    expected = []
    for k in range(112):
        left, centre, right = (low + step * (k + j) for j in range(3))
        energy = 0.0
        for b in range(256):
            m = mel(b * 16000 / 512)
            if left < m < right:
                energy += spectrum[b] * ((m - left) / step if m <= centre else (right - m) / step)
        expected.append(np.log(max(energy, 1.1920929e-07)))
    np.testing.assert_allclose(fbank.log_mel(whole, RATE, 112)[frame], expected, atol=1e-5)


def test_a_filter_without_bins_lies_on_the_floor():
    wave = np.random.default_rng(0).normal(0, 0.1, RATE)
    np.testing.assert_allclose(fbank.log_mel(wave, RATE, 128)[:, 3], np.log(fbank.FLOOR), atol=1e-5)


@pytest.mark.parametrize(("bins", "empty"), [(112, []), (126, []), (128, [3])])
def test_empty_filters_are_those_of_the_reference(bins, empty):
    filters = fbank.mel_filters(RATE, bins)
    assert filters.shape == (257, bins)
    assert np.flatnonzero(filters.sum(0) == 0).tolist() == empty


def test_a_tone_peaks_in_its_filter():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    peak = fbank.log_mel(tone, RATE, 112).mean(0).argmax()
    assert fbank.mel_filters(RATE, 112)[32].argmax() == peak  # 1000 Hz is FFT bin 32


@pytest.mark.parametrize("noise", [1e-6, 1e-4, 1e-1])
def test_values_near_the_floor_are_those_of_float64(noise):
    rng, at = np.random.default_rng(0), np.arange(16000) / 16000
    wave = 0.5 * np.sin(2 * np.pi * 440 * at) + 0.2 * np.sin(2 * np.pi * 2500 * at)
    wave = (wave + noise * rng.standard_normal(len(at))).astype(np.float32)
    energy, _ = sounds.mel_energy(wave, 16000, 112)
    exact = np.log(np.maximum(energy, fbank.FLOOR))
    np.testing.assert_allclose(fbank.log_mel(wave, 16000, 112), exact, rtol=0, atol=2e-6)

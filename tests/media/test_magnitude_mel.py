import librosa
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, fbank, magnitude_mel, preprocess, specs
from tests.media import media_files

RATE = 48_000
SPEC = specs.preset("audio", "mmv")


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def plain_filter(hz, number, bins):
    """Weight of a frequency in a filter, by the formula of HTK's mel."""

    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    edges = np.linspace(mel(80), mel(7600), bins + 2)[number : number + 3]
    rising = (mel(hz) - edges[0]) / (edges[1] - edges[0])
    falling = (edges[2] - mel(hz)) / (edges[2] - edges[1])
    return max(0.0, min(rising, falling))


def test_it_is_the_magnitude_of_librosa_s_transform_through_triangles():
    wave = noise(9 * 1024)
    filled = np.pad(wave.astype(np.float64), (0, 1024))
    spectrum = librosa.stft(filled, n_fft=2048, hop_length=1024, center=False, dtype=np.complex128)
    filters = magnitude_mel.mel_filters(RATE, 80)
    expected = np.log(np.abs(spectrum).T @ filters + 1e-6)
    found = magnitude_mel.log_mel(wave, RATE, 80, "dmvr")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for row, number in ((10, 3), (40, 25), (300, 76), (0, 0), (1024, 79)):
        weight = plain_filter(row * RATE / 2048, number, 80)
        assert filters[row, number] == pytest.approx(weight, abs=1e-12)


@pytest.mark.parametrize(("samples", "frames"), [(153_600, 150), (153_601, 151), (1, 1), (0, 0)])
def test_the_end_is_filled_up(samples, frames):
    assert magnitude_mel.num_frames(samples) == frames
    found = magnitude_mel.log_mel(noise(samples), RATE, 80, "dmvr")
    assert found.shape == (frames, 80)
    assert found.dtype == np.float32


def test_blocks_are_one_transform():
    wave = noise(1024 * (magnitude_mel.BLOCK_FRAMES + 3))
    late = magnitude_mel.log_mel(wave[1024 * magnitude_mel.BLOCK_FRAMES :], RATE, 80, "vatt")
    whole = magnitude_mel.log_mel(wave, RATE, 80, "vatt")
    np.testing.assert_allclose(whole[-3:], late, atol=1e-6)


def test_both_logarithms_are_of_the_same_magnitudes():
    one, other = (magnitude_mel.log_mel(noise(4096), RATE, 80, log) for log in ("dmvr", "vatt"))
    energy = np.exp(one.astype(np.float64)) - 1e-6
    np.testing.assert_allclose(other, np.log1p(1e4 * energy), rtol=1e-4)


def test_mmv_takes_3_seconds_with_time_first():
    sound = media_files.sound(noise(5 * RATE), RATE)
    decoded = audio.decode(sound, SPEC)
    out = audio.transform(decoded, SPEC)
    assert out.shape == specs.shape(SPEC) == (150, 80, 1)
    middle = (len(decoded) - 150) // 2
    np.testing.assert_allclose(out[..., 0], decoded[middle : middle + 150], atol=1e-6)
    starts = {
        audio.transform(decoded, SPEC, np.random.default_rng(seed)).tobytes() for seed in range(9)
    }
    assert len(starts) > 5


@pytest.mark.parametrize("bank", magnitude_mel.LOGS)
def test_a_short_sound_ends_in_silence(bank):
    spec = specs.AudioSpec(**specs.to_dict(SPEC) | {"bank": bank})
    decoded = audio.decode((noise(10 * 1024), RATE), spec)
    out = audio.transform(decoded, spec)[..., 0]
    np.testing.assert_allclose(out[:10], decoded, atol=1e-6)
    silence = audio.decode((np.zeros(1024, np.float32), RATE), spec)
    np.testing.assert_allclose(out[10:], np.repeat(silence, 140, axis=0))


def test_durations_are_those_of_the_steps():
    assert audio.duration_s(np.zeros((150, 80)), SPEC) == pytest.approx(3.2)
    assert audio.duration_s(np.zeros((98, 112)), specs.AudioSpec()) == pytest.approx(0.995)


def test_a_bank_of_samples_needs_a_rate():
    with pytest.raises(errors.ConfigError, match="expected a sample_rate_hz"):
        specs.AudioSpec(bank="dmvr", sample_rate_hz=None)


def test_a_film_gives_3_seconds_of_frames_and_sound():
    film = media_files.clip(100, sound=True)
    (frames,) = preprocess.preprocess("video", film, preset="mmv")
    assert frames.shape == specs.shape(specs.preset("video", "mmv")) == (32, 200, 200, 3)
    assert frames.min() >= 0
    assert frames.max() <= 1
    assert preprocess.preprocess("audio", film, preset="mmv").shape == (1, 150, 80, 1)


def test_products_are_so_small_that_blas_takes_no_threads():
    """OpenBLAS takes some from 2^18 multiplications on, and then they wait for each other."""
    for _, _, weights in fbank.bands(magnitude_mel.mel_filters(RATE, 80)):
        assert magnitude_mel.BLOCK_FRAMES * weights.size < 2**18

import dataclasses
import io
import json

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, fbank, preprocess, samples, specs
from tests import goldens
from tests.media import media_files

SPEC = specs.AudioSpec()
WAVE = media_files.noise(16000)


def _tone(rate_hz, seconds=1.0, hz=440.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype(
        np.float32
    )


def test_wav_flac_and_array_agree_exactly():
    pcm = (WAVE * 32767).astype(np.int16)
    expected = audio.decode((pcm / np.float32(32768), 16000), SPEC)
    assert expected.shape == (98, 112)
    assert expected.dtype == np.float32
    for item in (media_files.sound(pcm), media_files.sound(pcm, format="FLAC")):
        np.testing.assert_array_equal(audio.decode(item, SPEC), expected)


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_16_bit_samples_are_the_floats_of_libsndfile(format, monkeypatch):
    item = media_files.sound(np.stack([WAVE, WAVE[::-1]], axis=1), format=format, subtype="PCM_16")
    fast = audio.decode(item, SPEC)
    monkeypatch.setattr(samples, "STORED", {})
    np.testing.assert_array_equal(audio.decode(item, SPEC), fast)


@pytest.mark.parametrize(
    ("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", None)]
)
def test_other_formats_decode(format, subtype):
    decoded = audio.decode(media_files.sound(WAVE, format=format, subtype=subtype), SPEC)
    assert 95 <= len(decoded) <= 112


@pytest.mark.parametrize(
    ("format", "codec"),
    [("ipod", "aac"), ("adts", "aac"), ("mp3", "libmp3lame"), ("webm", "libopus")],
)
def test_other_codecs_decode(format, codec):
    assert 295 <= len(audio.decode(media_files.coded_sound(format, codec), SPEC)) <= 310


def test_many_channels_decode():
    """A wav file in a container that libsndfile does not know, with sixteen channels."""
    samples = np.stack([WAVE * (c == 3) for c in range(16)], axis=1)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_f32le", rate=16000, layout="16 channels")
        frame = av.AudioFrame.from_ndarray(
            samples.reshape(1, -1), format="flt", layout="16 channels"
        )
        frame.rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    expected = audio.decode((samples.T, 16000), SPEC)
    np.testing.assert_allclose(audio.decode(file.getvalue(), SPEC), expected, atol=1e-4)


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska", "mpegts"])
def test_the_sound_track_of_a_video_decodes(format):
    assert 95 <= len(audio.decode(media_files.clip(format=format, sound=True), SPEC)) <= 107


def test_a_video_without_sound_is_refused():
    with pytest.raises(errors.DataError, match="has no audio track"):
        audio.decode(media_files.clip(), SPEC)


@pytest.mark.parametrize(("mono", "expected"), [("mean", 0.5), ("first", 1.0)])
def test_stereo_is_mixed_or_its_first_channel_taken(mono, expected):
    tone = _tone(16000)
    stereo = np.stack([tone, np.zeros_like(tone)])
    spec = specs.AudioSpec(mono=mono)
    reference = audio.decode((expected * tone, 16000), spec)
    np.testing.assert_allclose(audio.decode((stereo, 16000), spec), reference, atol=1e-4)
    np.testing.assert_allclose(
        audio.decode(media_files.sound(stereo.T, subtype="FLOAT"), spec), reference, atol=1e-4
    )


@pytest.mark.parametrize("resampler", specs.RESAMPLERS)
@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_resampling_keeps_a_tone(resampler, rate_hz):
    out = audio.resample(_tone(rate_hz), rate_hz, 16000, resampler)
    assert out.dtype == np.float32
    assert len(out) == 16000
    np.testing.assert_allclose(out[500:-500], _tone(16000)[500:-500], atol=2e-3)


def test_the_windowed_sinc_has_the_length_of_the_reference():
    assert (
        len(audio.resample(WAVE[:1001], 44100, 16000, "sinc_hann")) == 364
    )  # ceil(16000 * 1001 / 44100)


@pytest.mark.parametrize("rate_hz", [22050, 44100, 48000, 16001, 8000, 96000, 11025])
def test_the_windowed_sinc_equals_its_sum_written_out(rate_hz):
    wave = WAVE[:1000]
    out = audio.resample(wave, rate_hz, 16000, "sinc_hann")
    places = np.arange(-(-16000 * len(wave) // rate_hz)) * rate_hz / 16000
    cutoff = 0.99 * min(1, 16000 / rate_hz)
    t = (np.arange(1000)[None] - places[:, None]) * cutoff
    weights = np.where(np.abs(t) < 6, np.sinc(t) * np.cos(np.pi * t / 12) ** 2, 0) * cutoff
    np.testing.assert_allclose(out, weights @ wave, atol=1e-6)


def test_under_25_ms_is_refused():
    with pytest.raises(errors.DataError, match="at least 25 ms"):
        audio.decode((WAVE[:399], 16000), SPEC)
    assert len(audio.decode((WAVE[:400], 16000), SPEC)) == 1


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF", "OGG"])
def test_a_cut_file_is_refused(format):
    data = media_files.sound(WAVE, format=format)
    with pytest.raises(errors.DataError):
        audio.decode(data[: int(0.7 * len(data))], SPEC)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 32767.0])
def test_samples_off_scale_are_refused(bad):
    wave = WAVE.copy()
    wave[5] = bad
    with pytest.raises(errors.DataError, match=r"expected a -1\.\.1 scale"):
        audio.decode((wave, 16000), SPEC)
    with pytest.raises(errors.DataError, match=r"expected a -1\.\.1 scale"):
        audio.decode(media_files.sound(wave, subtype="FLOAT"), SPEC)


@pytest.mark.parametrize(
    "item",
    [
        WAVE,
        (WAVE,),
        (WAVE, 0),
        (WAVE, "16000"),
        ((WAVE * 99).astype(np.int16), 16000),
        (WAVE[:0], 16000),
    ],
)
def test_other_arrays_are_refused(item):
    with pytest.raises(errors.DataError, match="rate in Hz"):
        audio.decode(item, SPEC)


def test_nothing_is_printed_about_bad_files(capfd):
    data = media_files.sound(WAVE, format="AIFF")
    for end in range(14, 60, 3):
        with pytest.raises(errors.DataError):
            audio.decode(data[:end], SPEC)
    assert capfd.readouterr() == ("", "")


def _ramp(frames):
    return np.repeat(np.arange(frames, dtype=np.float32)[:, None], 4, axis=1)


def _starts(out, spec):
    return (out[0, 0] * 2 * spec.std + spec.mean).round().astype(int).tolist()


def test_a_long_clip_gives_front_middle_and_back():
    spec = specs.AudioSpec(target_frames=10)
    out = audio.transform(_ramp(20), spec)  # 11 places in parts of 4, 4 and 3
    assert out.shape == (4, 10, 3)
    assert out.dtype == np.float32
    assert _starts(out, spec) == [0, 4, 8]


def test_fewer_places_than_crops_start_at_zero():
    spec = specs.AudioSpec(target_frames=10)
    assert _starts(audio.transform(_ramp(11), spec), spec) == [0, 1, 0]
    assert _starts(audio.transform(_ramp(10), spec), spec) == [0, 0, 0]


def test_a_short_clip_is_repeated():
    spec = specs.AudioSpec(target_frames=10)
    out = audio.transform(_ramp(4), spec) * 2 * spec.std + spec.mean
    np.testing.assert_allclose(out[0, :, 2], [0, 1, 2, 3] * 2 + [0, 1], atol=1e-5)


def test_training_draws_one_place_from_each_third():
    spec = specs.AudioSpec(target_frames=10)
    starts = np.array(
        [
            _starts(audio.transform(_ramp(20), spec, np.random.default_rng(s)), spec)
            for s in range(200)
        ]
    )
    assert [set(column.tolist()) for column in starts.T] == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10}]
    fixed = specs.AudioSpec(target_frames=10, train_crop="first")
    assert _starts(audio.transform(_ramp(20), fixed, np.random.default_rng(0)), fixed) == [0, 4, 8]


def test_the_generator_is_used_alike_for_any_length():
    after = []
    for frames in (4, 400):
        rng = np.random.default_rng(0)
        audio.transform(_ramp(frames), specs.AudioSpec(target_frames=10), rng)
        after.append(rng.random())
    assert after[0] == after[1]


def test_an_offset_in_the_recording_does_not_matter():
    plain, raised = (
        audio.decode((WAVE + o, 16000), SPEC) for o in (np.float32(0), np.float32(0.25))
    )
    np.testing.assert_allclose(plain, raised, atol=1e-3)


VALOR_GOLDEN = goldens.FOLDER / "valor" / "audio.npz"


def valor_spec(**changes):
    """The front end of the reference numbers, by their config."""
    told = json.loads(VALOR_GOLDEN.with_name("config.json").read_text())
    sizes = {"mel_bins": told["audio"]["mel_bins"], "target_frames": told["audio"]["frames"]}
    reference = specs.preset("audio", "valor_reference")
    return dataclasses.replace(reference, **sizes, **told["audio_norm"], **changes)


SLICES = specs.AudioSpec(
    sample_rate_hz=None, mel_bins=4, target_frames=10, layout="slices", clips=2
)


@pytest.mark.golden
def test_sound_is_that_of_the_valor_reference():
    if not VALOR_GOLDEN.exists():
        pytest.skip(f"no reference numbers at {VALOR_GOLDEN}; set LB_JAX_GOLDENS")
    reference = np.load(VALOR_GOLDEN)
    assert reference["cases"]
    for case in range(reference["cases"]):
        wave = reference[f"{case}/waveform_int16"] / np.float32(32768)
        mel, out = reference[f"{case}/fbank"], reference[f"{case}/out"]
        spec = valor_spec(clips=int(reference[f"{case}/clips"]))
        item = media_files.sound(wave, int(reference[f"{case}/rate"]), subtype="PCM_16")
        decoded = audio.decode(item, spec)
        np.testing.assert_allclose(decoded, mel, rtol=0, atol=2e-3)
        np.testing.assert_allclose(audio.transform(decoded, spec), out, rtol=0, atol=2e-3)


@pytest.mark.golden
@pytest.mark.parametrize(("padding", "key"), [("silence", "silence"), ("published", "padding")])
def test_padding_has_the_value_of_the_valor_reference(padding, key):
    if not VALOR_GOLDEN.exists():
        pytest.skip(f"no reference numbers at {VALOR_GOLDEN}; set LB_JAX_GOLDENS")
    spec = valor_spec(padding=padding)
    out = audio.transform(np.zeros((1, spec.mel_bins), np.float32), spec)
    np.testing.assert_allclose(out[0, :, 1:], np.load(VALOR_GOLDEN)[f"{key}_value"], atol=1e-6)


def _first_frames(out, spec):
    """Number of the frame of a ramp with which each slice begins."""
    return (out[:, 0, 0] * 2 * spec.std + spec.mean).round().astype(int).tolist()


def test_slices_follow_each_other_and_the_last_is_padded_with_silence():
    out = audio.transform(_ramp(23), dataclasses.replace(SLICES, clips=3))
    assert out.shape == (3, 4, 10)
    assert out.dtype == np.float32
    assert _first_frames(out, SLICES) == [0, 10, 20]
    back = out[2, 0] * 2 * SLICES.std + SLICES.mean
    np.testing.assert_allclose(back[:3], [20, 21, 22], atol=1e-5)
    np.testing.assert_allclose(back[3:], np.log(fbank.FLOOR), atol=1e-5)


@pytest.mark.parametrize(("padding", "slices"), [("silence", 2), ("published", 3)])
def test_a_whole_number_of_slices_gains_an_empty_one_as_published_alone(padding, slices):
    spec = dataclasses.replace(SLICES, padding=padding, clips=slices)
    assert audio.slice_count(20, spec) == slices
    out = audio.transform(_ramp(20), spec)
    assert np.ptp(out[-1]) == 0 if padding == "published" else np.ptp(out[-1]) > 0


def test_training_draws_a_slice_of_each_part():
    drawn = [
        _first_frames(audio.transform(_ramp(50), SLICES, np.random.default_rng(seed)), SLICES)
        for seed in range(50)
    ]
    assert [set(column) for column in zip(*drawn, strict=True)] == [{0, 10, 20}, {30, 40}]
    fixed = dataclasses.replace(SLICES, train_crop="first")
    out = audio.transform(_ramp(50), fixed, np.random.default_rng(0))
    assert _first_frames(out, fixed) == [10, 30]


@pytest.mark.parametrize(("rate_hz", "frames"), [(22050, 1000), (16000, 998), (11025, 1000)])
def test_sound_keeps_the_rate_of_its_file(rate_hz, frames):
    """10 s; Kaldi rounds the samples of a frame and of a step down."""
    spec = specs.preset("audio", "valor_reference")
    sound = media_files.sound(_tone(rate_hz, 10.0), rate_hz)
    assert audio.decode(sound, spec).shape == (frames, spec.mel_bins)
    assert audio.decode(sound, specs.preset("audio", "valor")).shape == (1000, spec.mel_bins)


def test_sound_of_the_published_rate_is_the_same_in_both_presets():
    sound = media_files.sound(_tone(22050, 3.0), 22050)
    one, other = (
        audio.decode(sound, specs.preset("audio", name)) for name in ("valor", "valor_reference")
    )
    np.testing.assert_array_equal(one, other)


def test_the_sound_of_a_film_makes_slices():
    out = preprocess.preprocess("audio", media_files.clip(sound=True), preset="valor")
    assert out.shape == (1, 1, 64, 512)


WINDOWS = specs.preset("audio", "imagebind")


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (160_000, [(0, 32_000), (64_000, 96_000), (128_000, 160_000)]),
        (61_116, [(0, 32_000), (14_558, 46_558), (29_116, 61_116)]),
        (32_000, [(0, 32_000)] * 3),
        (11_200, [(0, 11_200)] * 3),
    ],
)
def test_windows_of_sound_begin_where_they_should(count, expected):
    assert audio.bounds(count, WINDOWS) == expected


def test_published_windows_begin_up_to_a_sample_early():
    published = dataclasses.replace(WINDOWS, bounds="published")
    counts = np.random.default_rng(0).integers(33_000, 300_000, 500).tolist()
    off = np.array(
        [
            np.subtract(audio.bounds(count, WINDOWS), audio.bounds(count, published))
            for count in counts
        ]
    )
    assert set(np.unique(off)) == {0, 1}
    assert 0.1 < off[:, 1:, 0].mean() < 0.4


def test_each_window_is_its_own_spectrogram_padded_behind():
    wave = media_files.noise(61_116)
    decoded = audio.decode((wave, 16_000), WINDOWS)
    np.testing.assert_array_equal(decoded, wave)
    found = audio.transform(decoded, WINDOWS)
    assert found.shape == (3, 128, 204, 1)
    for window, (first, stop) in zip(found[..., 0], audio.bounds(len(wave), WINDOWS), strict=True):
        mel = fbank.log_mel(wave[first:stop], 16_000, 128)
        np.testing.assert_allclose(window[:, :198], (mel.T + 4.268) / 9.138, atol=1e-6)
        np.testing.assert_allclose(window[:, 198:], 4.268 / 9.138, atol=1e-6)
    quiet = audio.transform(decoded, dataclasses.replace(WINDOWS, padding="silence"))
    assert quiet[0, 0, -1, 0] < -1


def test_windows_are_drawn_in_training_each_in_its_share():
    wave = media_files.noise(160_000)
    decoded = audio.decode((wave, 16_000), WINDOWS)
    drawn = [audio.transform(decoded, WINDOWS, np.random.default_rng(seed)) for seed in (0, 1)]
    assert np.abs(drawn[0] - drawn[1]).max() > 0.1
    fixed = dataclasses.replace(WINDOWS, train_crop="first")
    np.testing.assert_array_equal(
        audio.transform(decoded, fixed, np.random.default_rng(0)),
        audio.transform(decoded, WINDOWS),
    )
    bounds = audio.bounds(160_000, WINDOWS, np.array([0.999, 0.0, 0.5]))
    places = 128_001
    for number, (first, stop) in enumerate(bounds):
        assert number / 3 * places - 1 <= first < (number + 1) / 3 * places
        assert stop - first == 32_000


def test_less_than_a_step_is_refused_in_windows_too():
    with pytest.raises(errors.DataError, match=r"lasts 20\.0 ms, expected at least 25 ms"):
        audio.decode((media_files.noise(320), 16_000), WINDOWS)

"""Files of the endings that a folder is searched for decode, each made by FFmpeg or Pillow."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lb_jax.core.modalities import MODALITIES
from lb_jax.media import preprocess, specs
from tests.media import media_files

VIDEO = specs.VideoSpec(frames=2, size=32)
AUDIO = specs.AudioSpec(mel_bins=16, target_frames=32)
FILMS = {
    "mpg": ("mpeg", "mpeg2video"),
    "vob": ("vob", "mpeg2video"),
    "ts": ("mpegts", "libx264"),
    "m2ts": ("mpegts", "libx264"),
    "wmv": ("asf", "wmv2"),
    "flv": ("flv", "flv"),
    "f4v": ("f4v", "libx264"),
    "3gp": ("3gp", "mpeg4"),
    "ogv": ("ogv", "libvpx"),
    "mxf": ("mxf", "mpeg2video"),
    "m2v": ("mpeg2video", "mpeg2video"),
}
SOUNDS = {
    "aiff": ("aiff", "pcm_s16be"),
    "caf": ("caf", "pcm_s16le"),
    "au": ("au", "pcm_s16be"),
    "w64": ("w64", "pcm_s16le"),
    "weba": ("webm", "libopus"),
    "mka": ("matroska", "pcm_s16le"),
    "wma": ("asf", "wmav2"),
    "mp2": ("mp2", "mp2"),
    "ac3": ("ac3", "ac3"),
    "wv": ("wv", "wavpack"),
    "tta": ("tta", "tta"),
    "m4b": ("ipod", "aac"),
    "m4r": ("ipod", "aac"),
    "wave": ("wav", "pcm_s16le"),
}
PICTURES = ("jpe", "jfif", "tif", "gif", "avif", "jp2", "ppm", "pgm", "pbm", "apng", "mpo")


@pytest.mark.parametrize("ending", FILMS)
def test_films_decode(ending):
    form, codec = FILMS[ending]
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(40, 200, 20):
            picture = np.full((48, 64, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    frames = preprocess.decode("video", file.getvalue(), VIDEO)
    assert abs(frames[0].astype(float).mean() - 40) < 6
    assert f".{ending}" in MODALITIES["video"].suffixes


def _tone(rate_hz):
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)


def _require_tone(data, rate_hz):
    found = preprocess.decode("audio", data, AUDIO)
    expected = preprocess.decode("audio", (_tone(rate_hz).astype(np.float32), rate_hz), AUDIO)
    assert found[10:80].mean(0).argmax() == expected[10:80].mean(0).argmax()


def test_sound_of_phones_decodes():  # from a file: no PyAV from 19 on writes it
    _require_tone(Path(__file__).with_name("tone.amr").read_bytes(), 8000)


@pytest.mark.parametrize("ending", SOUNDS)
def test_sounds_decode(ending):
    form, codec = SOUNDS[ending]
    rate = 48_000 if ending == "weba" else 44_100
    file = io.BytesIO()
    tone = _tone(rate)
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", 96_000
        sound = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
        sound.rate = rate
        resampler = av.AudioResampler(
            stream.format, "mono", rate, frame_size=stream.codec_context.frame_size or None
        )
        for part in (*resampler.resample(sound), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    _require_tone(file.getvalue(), rate)
    assert f".{ending}" in MODALITIES["audio"].suffixes


@pytest.mark.parametrize("ending", PICTURES)
def test_pictures_decode(ending, tmp_path):
    scene = Image.fromarray(media_files.scene())
    scene.convert({"pgm": "L", "pbm": "1"}.get(ending, "RGB")).save(tmp_path / f"a.{ending}")
    found = preprocess.decode("image", tmp_path / f"a.{ending}", specs.ImageSpec())
    assert found.shape == media_files.scene().shape
    assert f".{ending}" in MODALITIES["image"].suffixes

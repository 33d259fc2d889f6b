"""Headers without sizes: the samples of the whole file, as if the sizes were there."""

import io
import struct

import numpy as np
import pytest
import soundfile

from lb_jax.core import errors
from lb_jax.media import samples, specs
from tests.media import media_files

SPEC = specs.AudioSpec()
WAVE = np.round(media_files.noise(8000) * 32767) / 32768
ONES, MOST = (1 << 64) - 1, (1 << 63) - 1

# format, subtype, [(mark, bytes behind it, how packed, values)]
CASES = {
    "wav: 0 and 0": ("WAV", "PCM_16", [("RIFF", 4, "<I", 0), ("data", 4, "<I", 0)]),
    "wav: only data 0": ("WAV", "PCM_16", [("data", 4, "<I", 0)]),
    "wav: only RIFF 0": ("WAV", "PCM_16", [("RIFF", 4, "<I", 0)]),
    "wav: FFFFFFFF": ("WAV", "PCM_16", [("data", 4, "<I", 0xFFFFFFFF)]),
    "wav of 24 bits": ("WAVEX", "PCM_24", [("RIFF", 4, "<I", 0), ("data", 4, "<I", 0)]),
    "wav of floats": ("WAV", "FLOAT", [("RIFF", 4, "<I", 0), ("data", 4, "<I", 0)]),
    "rf64: all ones": ("RF64", "PCM_16", [("ds64", 8, "<QQQ", ONES, ONES, ONES)]),
    "rf64: 0": ("RF64", "PCM_16", [("ds64", 8, "<QQQ", 0, 0, 0)]),
    "rf64: data 0": ("RF64", "PCM_16", [("ds64", 8, "<QQ", 0, 0), ("data", 4, "<I", 0)]),
    "aiff: 0": ("AIFF", "PCM_16", [("COMM", 10, ">I", 0), ("SSND", 4, ">I", 0)]),
    "aiff: 8": ("AIFF", "PCM_16", [("COMM", 10, ">I", 0), ("SSND", 4, ">I", 8)]),
    "au: 0": ("AU", "PCM_16", [(".snd", 8, ">I", 0)]),
    "au: FFFFFFFF": ("AU", "PCM_16", [(".snd", 8, ">I", 0xFFFFFFFF)]),
    "wave64: 0": ("W64", "PCM_16", [("riff", 16, "<Q", 0), ("data", 16, "<Q", 0)]),
    "wave64: 24": ("W64", "PCM_16", [("data", 16, "<Q", 24)]),
    "wave64: largest": ("W64", "PCM_16", [("riff", 16, "<Q", MOST), ("data", 16, "<Q", MOST)]),
    "caf: all ones": ("CAF", "PCM_16", [("data", 4, ">q", -1)]),
}
FORMATS = sorted({(format, subtype) for format, subtype, _ in CASES.values()})


def _file(format, subtype):
    file = io.BytesIO()
    soundfile.write(file, WAVE, 16000, format=format, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("case", list(CASES))
def test_the_samples_run_to_the_end_of_the_file(case):
    format, subtype, holes = CASES[case]
    data = bytearray(_file(format, subtype))
    for mark, behind, packing, *values in holes:
        struct.pack_into(packing, data, data.index(mark.encode()) + behind, *values)
    wave, rate_hz = samples.read(bytes(data), SPEC)
    assert rate_hz == 16000
    np.testing.assert_array_equal(wave, WAVE.astype(np.float32))


@pytest.mark.parametrize(("format", "subtype"), FORMATS)
def test_a_cut_file_with_sizes_is_refused(format, subtype):
    data = _file(format, subtype)
    for stop in (len(data) * 6 // 10, len(data) - 1):
        with pytest.raises(errors.DataError, match="cut off"):
            samples.read(data[:stop], SPEC)


def test_a_sound_without_samples_stays_one():
    empty = media_files.sound(np.zeros(0, np.float32))
    listed = b"LIST" + struct.pack("<I", 4) + b"INFO"
    for data in (empty, empty + listed):
        with pytest.raises(errors.DataError, match="holds no sound"):
            samples.read(data, SPEC)

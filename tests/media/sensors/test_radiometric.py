"""Readings inside the files of thermal cameras; FLIR's against flyr."""

import contextlib
import io
import sys
import types

import flyr
import numpy as np
import pytest

from lb_jax.core import errors, notices
from lb_jax.media.sensors import radiometric
from tests.media import cameras

Y, X = np.mgrid[:60, :80]
CELSIUS = 18 + 0.1 * X + 0.15 * Y
WARM = (CELSIUS - CELSIUS.min()) / np.ptp(CELSIUS)
JPEG = cameras.rainbow(WARM)
RAW = cameras.counts(CELSIUS)


def read(content):
    return radiometric.read(io.BytesIO(content), "a file")


@pytest.mark.parametrize("form", ["raw", "png"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_flir_counts_become_kelvin(form, order):
    found = read(cameras.flir(JPEG, RAW, form=form, order=order))
    assert found.unit == "kelvin"
    np.testing.assert_allclose(found.values - 273.15, CELSIUS, atol=0.02)  # half a count


@pytest.mark.parametrize(
    "camera",
    [
        {},
        {"emissivity": 0.9, "reflected": 283.15},
        {"emissivity": 0.95, "distance": 1.0, "humidity": 0.3},
    ],
)
@pytest.mark.parametrize("form", ["raw", "png"])
def test_flir_equals_flyr(form, camera):
    content = cameras.flir(JPEG, RAW, form=form, spare=2, **camera)  # flyr loses two entries
    expected = flyr.unpack(io.BytesIO(content)).kelvin
    near = 0.05 if camera.get("distance") else 1e-3  # the air over two halves of the way
    np.testing.assert_allclose(read(content).values, expected, atol=near)


def test_flir_in_many_pieces():
    large = np.kron(RAW, np.ones((4, 4), np.uint16))
    found = read(cameras.flir(JPEG, large))
    np.testing.assert_allclose(found.values[::4, ::4] - 273.15, CELSIUS, atol=0.02)


def test_an_fff_file_alone_is_read():
    jpeg = cameras.flir(JPEG, RAW)
    start = jpeg.index(b"FFF\0")
    found = read(jpeg[start:])
    np.testing.assert_allclose(found.values - 273.15, CELSIUS, atol=0.02)


def test_flir_without_constants_is_counts():
    found = read(cameras.flir(JPEG, RAW, camera=False))
    assert found.unit == "counts"
    np.testing.assert_array_equal(found.values, RAW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"FFF\0", b"XXX\0"),  # another format
        (b"\0\0\0d\0\0\0@", b"\0\0\0\0\0\0\0@"),  # another version
        (b"\2\0\x50\0\x3c\0", b"\2\0\xff\xff\xff\xff"),  # more pixels than there are
        (b"\2\0\x50\0\x3c\0", b"\2\0\0\0\0\0"),
    ],
)
def test_a_damaged_flir_block_is_told(old, new):
    content = cameras.flir(JPEG, RAW)
    assert old in content
    with pytest.raises(errors.DataError, match="FLIR block whose readings cannot be read"):
        read(content.replace(old, new, 1))


def test_any_damage_of_a_camera_file_is_an_error_of_ours():
    rng = np.random.default_rng(0)
    for content in (cameras.flir(JPEG, RAW, form="png"), cameras.irg(CELSIUS)):
        for _ in range(150):
            damaged = bytearray(content)
            for place in rng.integers(2, 1200, 4):
                damaged[place] = rng.integers(256)
            with contextlib.suppress(errors.DataError):
                read(bytes(damaged))


@pytest.mark.parametrize("side", [96, 240])
def test_dji_counts_have_the_shape_of_the_picture(side):
    square = RAW[:, :60] + np.uint16(11_000)
    found = read(cameras.dji(cameras.rainbow(WARM[:, :60], side), square, size=1500))
    assert found.unit == "counts"
    np.testing.assert_array_equal(found.values, square)


@pytest.mark.parametrize("known", [True, False])
def test_dji_temperatures_come_from_the_library_if_it_knows_the_camera(monkeypatch, known):
    square = RAW[:, :60]

    class Picture:
        def measure_temperature_c(self):
            if not known:
                raise KeyError("curve")
            return CELSIUS[:, :60].astype(np.float32)

    library = types.SimpleNamespace(tsdk=types.SimpleNamespace(open=lambda content: Picture()))
    monkeypatch.setitem(sys.modules, "dji_thermal_cli", library)
    with notices.collected() as warned:
        found = read(cameras.dji(cameras.rainbow(WARM[:, :60]), square))
    told = "dji-thermal-cli gives no temperatures (KeyError('curve'))"
    assert [warning.reason.split(";")[0] for warning in warned] == ([] if known else [told])
    assert found.unit == ("celsius" if known else "counts")
    np.testing.assert_allclose(found.values, CELSIUS[:, :60] if known else square, rtol=1e-6)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "infiray_irg", None)
    with pytest.raises(errors.DataError, match=r"infiray_irg reads; .*lb_jax\[sensors\]"):
        read(cameras.irg(CELSIUS))


def test_other_segments_are_no_readings():
    for content in (b"Meta\0\0" + bytes(101), bytes(100)):
        picture = JPEG[:2] + cameras.segments(0xE3, content) + JPEG[2:]
        assert read(picture) is None
    assert read(JPEG) is None
    assert read(b"BM") is None


@pytest.mark.parametrize(
    ("more", "near"),
    [
        ({}, 0.04),
        ({"magic": b"\xba\xab", "per_kelvin": 10}, 0.06),
        ({"flag": 1, "per_kelvin": 10}, 0.06),
    ],
)
def test_infiray_files_hold_celsius(more, near):
    found = read(cameras.irg(CELSIUS, **more))
    assert found.unit == "celsius"
    np.testing.assert_allclose(found.values, CELSIUS, atol=near)


def test_a_cut_infiray_file_is_told():
    with pytest.raises(errors.DataError, match="no InfiRay IRG file that can be read"):
        read(cameras.irg(CELSIUS)[:5000])

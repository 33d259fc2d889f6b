"""Thermal pictures: readings of any range become the grey pictures that the corpus is made of."""

import dataclasses
import io
import struct
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

import lb_jax
from lb_jax.core import errors
from lb_jax.media import specs, thermal
from lb_jax.media.pictures import greys
from lb_jax.media.sensors import temperatures
from tests.media import cameras, media_files

SPEC = specs.ThermalSpec()
FULL = specs.preset("thermal", "reference")
Y, X = np.mgrid[:120, :120]
WARM = np.exp(-((X - 45) ** 2 + (Y - 50) ** 2) / 400) + 0.4 * np.exp(
    -((X - 85) ** 2 + (Y - 80) ** 2) / 150
)
WARM = (WARM - WARM.min()) / np.ptp(WARM)
CELSIUS = 20 + 12 * WARM
CORPUS = np.rint(255 * WARM).astype(np.uint8)  # stretched from the least to the largest value


def saved(array, form):
    file = io.BytesIO()
    if form == "NPY":
        np.save(file, array)
    else:
        Image.fromarray(array).save(file, form)
    return file.getvalue()


def whole(values):
    return np.rint(values).astype(np.uint16)


def plain_tiff(array, order, photometric=1):
    """An uncompressed grey TIFF, written byte by byte."""
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    height, width = array.shape
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data)) + data
    tags = (
        *((256, 4, width), (257, 4, height), (258, 3, 8 * array.itemsize), (259, 3, 1)),
        *((262, 3, photometric), (273, 4, 8), (277, 3, 1), (278, 4, height)),
        *((279, 4, len(data)), (339, 3, kind)),
    )
    out += struct.pack(f"{order}H", len(tags))
    for tag, form, value in tags:
        room = struct.pack(f"{order}HH", value, 0) if form == 3 else struct.pack(f"{order}I", value)
        out += struct.pack(f"{order}HHI", tag, form, 1) + room
    return out + bytes(4)


def archive(array):
    file = io.BytesIO()
    np.savez(file, array)
    return file.getvalue()


ENCODINGS = {
    "centikelvin, PNG": saved(whole(100 * (CELSIUS + 273.15)), "PNG"),
    "TLinear of 0.04 K, TIFF": saved(whole((CELSIUS + 273.15) / 0.04), "TIFF"),
    "degrees, TIFF of floats": saved(CELSIUS.astype(np.float32), "TIFF"),
    "Fahrenheit, array": saved(1.8 * CELSIUS + 32, "NPY"),
    "kelvin in integers of 32 bits": saved((1000 * (CELSIUS + 273.15)).astype(np.int32), "TIFF"),
    "degrees in half precision": plain_tiff(CELSIUS.astype(np.float16), "<"),
    "kelvin in double precision, big-endian": plain_tiff((CELSIUS + 273.15), ">"),
    "white at zero": plain_tiff(65_535 - whole(100 * (CELSIUS + 273.15)), "<", photometric=0),
    "counts of 14 bits, PGM": b"P5 120 120 16383\n" + whole(7200 + 700 * WARM).byteswap().tobytes(),
    "an archive of arrays": archive(CELSIUS),
    "counts, PGM": saved(whole(7200 + 700 * WARM), "PPM"),
    "FLIR, raw": cameras.flir(cameras.rainbow(WARM), cameras.counts(CELSIUS)),
    "FLIR, PNG": cameras.flir(cameras.rainbow(WARM), cameras.counts(CELSIUS), form="png"),
    "DJI": cameras.dji(cameras.rainbow(WARM), whole(11_000 + 900 * WARM)),
    "InfiRay": cameras.irg(CELSIUS),
}


@pytest.fixture(scope="module")
def model():
    return lb_jax.load("demo")


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_the_picture_that_the_corpus_way_makes(name):
    grey = thermal.decode(ENCODINGS[name], SPEC)
    assert grey.dtype == np.uint8
    assert np.corrcoef(grey[..., 0].ravel(), WARM.ravel())[0, 1] > 0.999
    assert np.abs(grey[..., 0].astype(int) - CORPUS).max() <= 6  # of 255


def test_embeddings_of_the_encodings_agree(model):
    vectors = model.embed("thermal", [*ENCODINGS.values(), saved(CORPUS, "PNG")])
    assert (vectors @ vectors.T).min() >= 0.98


def test_pictures_of_8_bits_and_the_reference_preset_are_as_before():
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 140, (20, 30, 3), np.uint8)
    for spec in (SPEC, FULL):
        np.testing.assert_array_equal(thermal.decode(media_files.picture(picture), spec), picture)
        grey = thermal.decode(saved(CORPUS, "PNG"), spec)
        np.testing.assert_array_equal(grey, np.repeat(CORPUS[..., None], 3, -1))
    deep = whole(100 * (CELSIUS + 273.15))
    found = thermal.decode(saved(deep, "PNG"), FULL)
    np.testing.assert_array_equal(found[..., 0], np.rint(deep / 257).astype(np.uint8))


SPOILED = {
    "dead and hot pixels": (0.004, (0, 65_535)),
    "pixels without a reading": (0.02, (0,)),
    "a part without a reading": ((slice(0, 30), slice(None)), (0,)),
    "a dead column": ((slice(None), 60), (0,)),
    "a corner that is too bright for the type": ((slice(100, None), slice(100, None)), (65_535,)),
}


@pytest.mark.parametrize("name", SPOILED)
def test_bad_pixels_do_not_decide_the_range(name):
    where, marks = SPOILED[name]
    deep, bad = whole(100 * (CELSIUS + 273.15)), np.zeros(WARM.shape, bool)
    if isinstance(where, float):
        bad.flat[np.random.default_rng(0).permutation(bad.size)[: int(where * bad.size)]] = True
    else:
        bad[where] = True
    deep[bad] = np.resize(marks, bad.sum())
    grey = thermal.decode(saved(deep, "PNG"), SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS)[~bad].max() <= 6


@pytest.mark.parametrize("mark", [np.nan, np.inf, -9999, -273.15, 1e30])
def test_marks_of_floats_are_no_readings(mark):
    values = CELSIUS.astype(np.float32)
    values[:20] = mark
    grey = thermal.decode(saved(values, "TIFF"), SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS)[20:].max() <= 6
    assert (grey[:18] == 0).all()


def test_degrees_below_zero_are_readings():
    values = (CELSIUS - 26).astype(np.float32)  # -6 to 6
    grey = thermal.decode(values, SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS).max() <= 6
    grey = thermal.decode((100 * (CELSIUS - 26)).astype(np.int16), SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS).max() <= 6


def test_one_temperature_is_one_grey_and_nothing_is_told():
    assert (thermal.decode(np.full((8, 8), 29_315, np.uint16), SPEC) == 0).all()
    with pytest.raises(errors.DataError, match="has no reading in it"):
        thermal.decode(np.full((8, 8), np.nan), SPEC)


def test_16_bits_in_three_channels_are_read_whole():
    deep = whole(100 * (CELSIUS + 273.15))
    content = cv2.imencode(".png", np.repeat(deep[..., None], 3, -1))[1].tobytes()
    grey = thermal.decode(content, SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS).max() <= 6


RANGE = (273.15, 323.15)
EXPECTED = np.rint(np.clip((CELSIUS + 273.15 - RANGE[0]) / 50, 0, 1) * 255)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("centikelvin, PNG", "auto"),
        ("centikelvin, PNG", "centikelvin"),
        ("TLinear of 0.04 K, TIFF", "0.04"),
        ("degrees, TIFF of floats", "auto"),
        ("degrees, TIFF of floats", "celsius"),
        ("Fahrenheit, array", "fahrenheit"),
        ("kelvin in integers of 32 bits", "0.001"),
        ("FLIR, raw", "auto"),
        ("FLIR, PNG", "celsius"),  # the file says kelvin, which comes first
        ("InfiRay", "auto"),
    ],
)
def test_a_range_in_kelvin_makes_pictures_compare(name, unit):
    spec = specs.ThermalSpec(range_k=RANGE, unit=unit)
    grey = thermal.decode(ENCODINGS[name], spec)[..., 0].astype(int)
    assert np.abs(grey - EXPECTED).max() <= 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("TLinear of 0.04 K, TIFF", "integers from 73.*which do not tell their unit.*0.04"),
        ("counts, PGM", "do not tell their unit; give --thermal-unit"),
        ("DJI", "a sensor's counts, not temperatures"),
    ],
)
def test_an_unknown_scale_is_asked_about(name, told):
    with pytest.raises(errors.DataError, match=told):
        thermal.decode(ENCODINGS[name], specs.ThermalSpec(range_k=RANGE))


@pytest.mark.parametrize(
    ("ends", "whole", "unit"),
    [
        ((29_315, 30_515), True, "centikelvin"),
        ((293.15, 305.15), False, "kelvin"),
        ((-12.0, 30.0), False, "celsius"),
        ((20.0, 32.0), False, "celsius"),
        ((0.0, 1.0), False, None),
        ((7000, 8000), True, None),
        ((2900, 3100), True, None),
        ((100.0, 900.0), False, None),
    ],
)
def test_units_are_guessed_where_only_one_fits(ends, whole, unit):
    if unit is None:
        with pytest.raises(errors.DataError, match="--thermal-unit"):
            temperatures.guess(*ends, whole=whole, name="a")
    else:
        assert temperatures.guess(*ends, whole=whole, name="a") == unit


@pytest.mark.parametrize(
    ("unit", "value", "kelvin"),
    [
        ("kelvin", 300, 300),
        ("centikelvin", 29_315, 293.15),
        ("decikelvin", 2931.5, 293.15),
        ("celsius", 20, 293.15),
        ("fahrenheit", 68, 293.15),
        ("0.04", 7500, 300),
    ],
)
def test_units_in_kelvin(unit, value, kelvin):
    assert temperatures.kelvin(np.array(value), unit, "a") == pytest.approx(kelvin)


def test_false_colours_are_warned_of_and_grey_passes():
    with pytest.warns(errors.DataWarning, match="false colours"):
        thermal.decode(cameras.rainbow(WARM), SPEC)
    with pytest.warns(errors.DataWarning, match="false colours"):
        thermal.decode(cameras.flir(cameras.rainbow(WARM), cameras.counts(CELSIUS)), FULL)
    file = io.BytesIO()
    Image.fromarray(CORPUS).convert("RGB").save(file, "JPEG", quality=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        thermal.decode(file.getvalue(), SPEC)
        thermal.decode(ENCODINGS["FLIR, raw"], SPEC)


def test_a_picture_of_8_bits_under_a_range_is_warned_of():
    with pytest.warns(errors.DataWarning, match="8 bits without temperatures"):
        thermal.decode(saved(CORPUS, "PNG"), specs.ThermalSpec(range_k=RANGE))


@pytest.mark.parametrize("ends", [(350, 360), (20, 50)])
def test_a_range_that_shows_nothing_of_a_picture_is_warned_of(ends):
    with pytest.warns(errors.DataWarning, match=r"293\.2 to 305 K .* all of it outside"):
        thermal.decode(saved(CELSIUS, "NPY"), specs.ThermalSpec(range_k=ends))


@pytest.mark.parametrize("array", [np.zeros((0, 4)), np.arange(32.0).reshape(4, 4, 2), np.zeros(4)])
def test_other_arrays_are_refused(array):
    with pytest.raises(errors.DataError, match="accepted are a path, bytes"):
        thermal.decode(array, SPEC)


def test_the_range_of_a_small_hot_spot_is_kept():
    values = np.full((100, 100), 290.0)
    values += np.random.default_rng(0).normal(0, 0.05, values.shape)
    values[40:44, 40:44] = 310  # sixteen pixels
    scene = greys.scene(values, "a")
    assert scene.high > 309


def test_the_first_of_several_pages_is_read_and_the_others_are_told():
    first, second = (Image.fromarray(whole(100 * (CELSIUS + more))) for more in (273.15, 290))
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=[second])
    with pytest.warns(errors.DataWarning, match="several pages, of which the first is read"):
        grey = thermal.decode(file.getvalue(), SPEC)[..., 0].astype(int)
    assert np.abs(grey - CORPUS).max() <= 6


def test_colours_of_16_bits_are_a_rendering():
    colours = np.random.default_rng(0).integers(0, 65_536, (8, 8, 3), np.uint16)
    content = cv2.imencode(".png", colours)[1].tobytes()
    with pytest.warns(errors.DataWarning, match="false colours"):
        found = thermal.decode(content, SPEC)
    np.testing.assert_array_equal(found, colours[..., ::-1] >> 8)


GREY = dataclasses.replace(specs.preset("thermal", "imagebind"), size=8)


def test_one_channel_is_the_grey_from_0_to_1():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    picture = np.repeat(grey[..., None], 3, axis=2)
    found = thermal.transform(picture, GREY)
    assert found.shape == (8, 8, 1)
    np.testing.assert_allclose(found[..., 0], grey / 255, atol=1e-6)
    clip = dataclasses.replace(GREY, **specs.STATISTICS["clip"])
    expected = (grey / 255 - specs.CLIP_MEAN[0]) / specs.CLIP_STD[0]
    np.testing.assert_allclose(thermal.transform(picture, clip)[..., 0], expected, atol=1e-5)


def test_one_channel_of_false_colours_is_their_brightness():
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = picture @ [0.299, 0.587, 0.114] / 255
    np.testing.assert_allclose(thermal.transform(picture, GREY)[..., 0], expected, atol=0.005)


@pytest.mark.parametrize("levels", ["float", "bytes"])
def test_one_channel_equals_each_of_three(levels):
    grey = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    one = dataclasses.replace(GREY, levels=levels)
    three = dataclasses.replace(one, channels=3)
    found = thermal.transform(picture, one)
    np.testing.assert_array_equal(thermal.transform(picture, three), np.repeat(found, 3, axis=2))

import contextlib
import dataclasses
import io

import cv2
import numpy as np
import pytest
import threadpoolctl
import tifffile
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import image, specs, thermal, video
from tests.media import media_files
from tests.media.pictures import test_tiff
from tests.media.sensors import scene

SPEC = specs.ImageSpec()
RED = np.full((8, 8, 3), (255, 0, 0), np.uint8)


def _random(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("sides", [(50, 91), (333, 241), (200, 200)])
def test_a_still_of_mmv_is_what_a_film_of_that_picture_shows(sides):
    still, film = (specs.preset(name, "mmv") for name in ("image", "video"))
    assert specs.still(film) == still
    picture = media_files.picture(_random(*sides))
    found = image.transform(image.decode(picture, still), still)
    frames = video.transform(video.decode([picture], film), film)
    assert frames.shape == (32, 200, 200, 3)
    for frame in frames:
        np.testing.assert_array_equal(found, frame)


def test_every_format_is_registered():
    assert set(image.FORMATS) <= set(Image.OPEN)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_decode_to_their_pixels(format):
    pixels = _random(7, 9)
    np.testing.assert_array_equal(image.decode(media_files.picture(pixels, format), SPEC), pixels)


def test_arrays_and_pil_images_are_media():
    pixels = _random(7, 9)
    np.testing.assert_array_equal(image.decode(pixels, SPEC), pixels)
    np.testing.assert_array_equal(image.decode(Image.fromarray(pixels), SPEC), pixels)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA"])
def test_any_mode_becomes_rgb(mode):
    decoded = image.decode(Image.fromarray(np.full((4, 5, 3), 255, np.uint8)).convert(mode), SPEC)
    np.testing.assert_array_equal(decoded, np.full((4, 5, 3), 255))


def test_16_bit_grey_is_scaled_over_its_full_range():
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    np.testing.assert_array_equal(
        image.decode(media_files.picture(grey), SPEC)[0, :, 0], [0, 1, 128, 255]
    )


def test_32_bit_values_are_refused():
    with pytest.raises(errors.DataError, match="mode F has no RGB form"):
        image.decode(Image.fromarray(np.ones((4, 4), np.float32)), SPEC)


def test_transparency_lies_over_white():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = 0, 51, 255
    np.testing.assert_array_equal(
        image.decode(media_files.picture(pixels), SPEC)[0, :, 0], [255, 204, 0]
    )


# EXIF orientation -> what the camera stores of an upright [h, w, c] picture.
STORED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}


@pytest.mark.parametrize("orientation", list(STORED))
def test_exif_orientation_is_undone(orientation):
    upright = _random(5, 8)
    exif = Image.Exif()
    exif[image.ORIENTATION_TAG] = orientation
    data = media_files.picture(np.ascontiguousarray(STORED[orientation](upright)), exif=exif)
    np.testing.assert_array_equal(image.decode(data, SPEC), upright)


def test_a_cut_image_is_refused():
    data = media_files.picture(_random(64, 64), "JPEG")
    with pytest.raises(errors.DataError, match="cut off"):
        image.decode(data[: len(data) // 2], SPEC)


def test_nothing_is_printed_about_bad_files(capfd):
    data = media_files.picture(_random(64, 64), "TIFF", compression="tiff_lzw")
    for at in range(20, len(data), 200):
        with contextlib.suppress(errors.DataError):
            image.decode(data[:at] + b"\xff" * 9 + data[at + 9 :], SPEC)
    assert capfd.readouterr() == ("", "")


def test_other_content_is_refused():
    with pytest.raises(errors.DataError, match="not a readable image"):
        image.decode(b"<html>not found</html>", SPEC)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(errors.DataError, match="uint8 array"):
        image.decode(array, SPEC)


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded():
    for width, found in ((10_000, "is 10000x10000 pixels"), (20_000, "is 200 million pixels")):
        header = io.BytesIO()
        Image.new("1", (width, 10_000)).save(header, "PNG")
        with pytest.raises(errors.DataError, match=f"{found}, more than 89 megapixels"):
            image.decode(header.getvalue(), SPEC)


def test_a_sliver_is_refused():
    with pytest.raises(errors.DataError, match="thinner"):
        image.transform(_random(2, 100), SPEC)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (224, 224), (30, 20), (225, 449)])
@pytest.mark.parametrize("antialias", [True, False])
def test_the_result_is_square_and_float32(shape, antialias):
    out = image.transform(_random(*shape), specs.ImageSpec(antialias=antialias))
    assert out.shape == (224, 224, 3)
    assert out.dtype == np.float32


def test_a_flat_colour_is_normalised_by_mean_and_std():
    expected = (np.array([1, 0, 0]) - specs.CLIP_MEAN) / specs.CLIP_STD
    np.testing.assert_allclose(image.transform(RED, SPEC)[100, 100], expected, atol=1e-5)


def test_the_crop_offset_rounds_half_to_even():
    assert image.centre((224, 397), 224) == (0, 86)
    assert image.centre((227, 224), 224) == (2, 0)


# What the two products of `image.square` must equal: Pillow's and OpenCV's resize of the whole
# picture. In float mode and per channel Pillow's is the antialiased one of torch.
PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
OPENCV = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}


def _resized(x, sides, kernel, antialias):
    target = sides[::-1]
    if not antialias:
        return cv2.resize(x, target, interpolation=OPENCV[kernel])
    planes = [Image.fromarray(np.ascontiguousarray(p)) for p in np.moveaxis(x, -1, 0)]
    return np.stack([p.resize(target, PILLOW[kernel]) for p in planes], axis=-1)


@pytest.mark.parametrize("shape", [(480, 640), (300, 231), (225, 449), (30, 20), (224, 224)])
@pytest.mark.parametrize(("kernel", "antialias"), list(image.KERNELS))
@pytest.mark.parametrize("place", [None, (0.0, 0.999), (0.7, 0.3)])
def test_the_square_is_cut_from_the_resized_picture(shape, kernel, antialias, place):
    pixels = _random(*shape)
    sides = image.resized_sides(*shape, SPEC.size)
    whole = _resized(pixels.astype(np.float32), sides, kernel, antialias)
    top, left = image.centre(sides, SPEC.size)
    if place is not None:
        top, left = (int(p * (n - 223)) for p, n in zip(place, sides, strict=True))
    square = whole[top : top + 224, left : left + 224]
    expected = (square / 255 - SPEC.mean) / SPEC.std
    out = image.square(pixels, SPEC, image.KERNELS[kernel, antialias], white=255.0, place=place)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_one_channel_is_three_equal_ones():
    grey = _random(50, 70, 1)[..., 0].astype(np.float32)
    kernel = image.KERNELS["bicubic", True]
    np.testing.assert_array_equal(
        image.square(grey, SPEC, kernel, white=255.0),
        image.square(np.repeat(grey[..., None], 3, -1), SPEC, kernel, white=255.0),
    )


def test_antialiasing_removes_fine_stripes():
    stripes = np.where(np.arange(1500)[None, :, None] % 5 < 2, 255, 0).astype(np.uint8) * np.ones(
        (1500, 1, 3), np.uint8
    )
    smooth, rough = (
        image.transform(stripes, specs.ImageSpec(antialias=a)).std() for a in (True, False)
    )
    assert smooth < 0.2 * rough


def test_a_random_generator_changes_nothing():
    pixels = _random(50, 60)
    np.testing.assert_array_equal(
        image.transform(pixels, SPEC), image.transform(pixels, SPEC, np.random.default_rng(1))
    )


def test_thermal_is_treated_as_an_image():
    pixels = _random(50, 60)
    np.testing.assert_array_equal(
        thermal.transform(pixels, specs.ThermalSpec()), image.transform(pixels, SPEC)
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_of_16_bits_that_is_white_at_zero_is_turned(order, compression):
    ramp = np.tile(np.arange(0, 65536, 257, np.uint16), (8, 1))
    file = io.BytesIO()
    options = {"byteorder": order, "compression": compression}
    tifffile.imwrite(file, ramp, photometric="miniswhite", **options)
    shown = image.decode(file.getvalue(), specs.ImageSpec())
    np.testing.assert_array_equal(shown, np.repeat(255 - (ramp // 257)[..., None], 3, axis=2))


def test_grey_of_16_bits_in_big_endian_bigtiff_is_read_and_32_bits_are_told():
    ramp = np.tile(np.arange(0, 65536, 257, np.uint16), (8, 1))
    for values in (ramp, ramp.astype(np.uint32)):
        file = io.BytesIO()
        tifffile.imwrite(file, values, byteorder=">", bigtiff=True)
        if values.itemsize == 4:
            with pytest.raises(errors.DataError, match="32-bit values without a known range"):
                image.decode(file.getvalue(), specs.ImageSpec())
        else:
            shown = image.decode(file.getvalue(), specs.ImageSpec())
            np.testing.assert_array_equal(shown[..., 0], ramp // 257)


@pytest.mark.parametrize("is_white", [False, True])
def test_grey_of_12_bits_is_shown_over_its_own_range(is_white):
    values = np.tile(np.linspace(0, 4095, scene.W).astype(np.uint16), (41, 1))
    item = test_tiff.packed_tiff(values, 12, white_is_zero=is_white)
    shown = image.decode(item, specs.ImageSpec())[..., 0]
    grey = np.rint(values / 4095 * 255)
    np.testing.assert_allclose(shown, 255 - grey if is_white else grey, atol=1)


@pytest.mark.parametrize("sides", [(700, 901), (3000, 500), (2000, 3000)])
def test_pixels_do_not_depend_on_the_threads_of_blas(sides):
    picture = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    kernel, found = image.KERNELS["bicubic", True], []
    for threads in (1, 2, 3):
        with threadpoolctl.threadpool_limits(threads, "blas"):
            found.append(image.square(picture, specs.ImageSpec(), kernel, white=255).tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize(("height", "width"), [(300, 200), (70, 90), (224, 400), (32, 32)])
def test_bytes_are_resized_as_pillow_resizes_them(height, width):
    pixels = media_files.scene(height, width)
    spec = specs.ImageSpec(size=32, levels="bytes", **specs.STATISTICS["plain"])
    sides = image.resized_sides(height, width, 32)
    whole = np.asarray(Image.fromarray(pixels).resize(sides[::-1], Image.Resampling.BICUBIC))
    top, left = image.centre(sides, 32)
    expected = whole[top : top + 32, left : left + 32] / 255
    np.testing.assert_allclose(image.transform(pixels, spec), expected, atol=1e-6)
    smooth = image.transform(pixels, dataclasses.replace(spec, levels="float"))
    assert np.abs(np.clip(smooth, 0, 1) - expected).max() < 3 / 255

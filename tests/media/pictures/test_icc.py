import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from lb_jax.core import errors
from lb_jax.media import image, preprocess, specs, video
from lb_jax.media.pictures import icc
from tests.media import media_files

SHOWN, STORED = specs.ImageSpec(), specs.ImageSpec(colour="stored")
COLOURS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
# Columns of the media-relative matrix to XYZ under D50: linear RGB of the space.
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))
SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def numbers(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(columns, gamma, space=b"RGB "):
    """An ICC profile of version 2: a matrix and one gamma (ICC.1:2001-04, 6.3)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    if space == b"GRAY":
        return written([(b"kTRC", curve)], space, b"mntr", b"XYZ ")
    tags = [
        (key, b"XYZ " + bytes(4) + numbers(*column))
        for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    ]
    tags += [(key, curve) for key in (b"rTRC", b"gTRC", b"bTRC")]
    return written(tags, space, b"mntr", b"XYZ ")


def ink_profile(colours):
    """A profile of four inks: CIE L, a, b of each of their 16 mixtures (ICC.1:2001-04, 6.5.7)."""
    same = bytes(range(256))
    nodes = b"".join(
        bytes(np.rint((light * 2.55, a + 128, b + 128)).astype(np.uint8)) for light, a, b in colours
    )
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + numbers(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return written([(b"A2B0", table + same * 4 + nodes + same * 3)], b"CMYK", b"prtr", b"Lab ")


def written(tags, space, kind, connection):
    white = numbers(0.9642, 1, 0.8249)
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)),
        (b"cprt", b"text" + bytes(4) + b"none\0"),
        (b"wtpt", b"XYZ " + bytes(4) + white),
        *tags,
    ]
    first, places, data = 132 + 12 * len(tags), b"", b""
    for key, content in tags:
        data += bytes(-len(data) % 4)
        places += key + struct.pack(">II", first + len(data), len(content))
        data += content
    body = struct.pack(">I", len(tags)) + places + data
    head = struct.pack(">I", 128 + len(body)) + b"test" + struct.pack(">I", 0x02400000)
    head += kind + space + connection + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    return head + bytes(28) + white + bytes(48) + body


def by_hand(pixels, columns, gamma):
    """What the numbers of a matrix profile are in sRGB."""
    linear = (pixels / 255) ** gamma @ np.array(columns)  # XYZ
    light = np.clip(linear @ np.linalg.inv(np.array(SRGB)), 0, 1)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * signal


def _noted(media, spec=SHOWN):
    """The decoded picture and the warnings about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoded = image.decode(media, spec)
    return decoded, [one.message for one in caught]


@pytest.mark.parametrize("columns", [ADOBE_RGB, DISPLAY_P3])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_the_profile_of_a_picture_is_applied(format, columns):
    options = {"lossless": True} if format == "WEBP" else {"quality": 100}
    options |= {"subsampling": 0} if format == "JPEG" else {}
    options |= {"subsampling": "4:4:4"} if format == "AVIF" else {}
    data = media_files.picture(COLOURS, format, icc_profile=profile(columns, 2.2), **options)
    stored = image.decode(data, STORED)
    np.testing.assert_allclose(stored, COLOURS, atol=0 if options.get("lossless") else 8)
    (decoded, notes) = _noted(data)
    assert not notes
    np.testing.assert_allclose(decoded, by_hand(stored, columns, 2.2), atol=3)


def test_littlecms_gives_the_same():
    found = image.decode(media_files.picture(COLOURS, icc_profile=profile(DISPLAY_P3, 2.2)), SHOWN)
    expected = ImageCms.profileToProfile(
        Image.fromarray(COLOURS),
        io.BytesIO(profile(DISPLAY_P3, 2.2)),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "I;16"])
def test_the_profile_of_srgb_changes_no_bit(mode):
    deep = COLOURS[..., 0].astype(np.uint16) * 257
    picture = Image.fromarray(deep if mode == "I;16" else COLOURS)
    picture = picture if mode == "I;16" else picture.convert(mode)
    plain = image.decode(picture, SHOWN)
    picture.info["icc_profile"] = SRGB_PROFILE
    decoded, notes = _noted(picture)
    np.testing.assert_array_equal(decoded, plain)
    assert not notes


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "P"])
def test_shades_of_grey_are_mapped_by_their_profile(mode):
    grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
    picture = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey)
    picture = picture if mode == "I;16" else picture.convert(mode)
    expected = by_hand(np.stack([grey] * 3, -1), SRGB, 1.8)
    of_grey = profile((), 1.8, b"GRAY")
    for one in (profile(SRGB, 1.8), *([] if mode == "P" else [of_grey])):
        picture.info["icc_profile"] = one
        decoded, notes = _noted(picture)
        assert not notes
        np.testing.assert_allclose(decoded, expected, atol=2)


def test_transparency_lies_over_the_white_of_srgb():
    pixels = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 128, np.uint8)])
    data = media_files.picture(pixels, icc_profile=profile(ADOBE_RGB, 2.2))
    expected = by_hand(COLOURS, ADOBE_RGB, 2.2) * 128 / 255 + 127
    np.testing.assert_allclose(image.decode(data, SHOWN), expected, atol=3)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"no profile", "damaged"),
        (SRGB_PROFILE[:300], "cannot be applied"),
        (profile(DISPLAY_P3, 2.2)[:132] + bytes(300), "cannot be applied"),
        (profile((), 1.8, b"GRAY"), "for GRAY colours"),
        (profile(DISPLAY_P3, 2.2, b"CMYK"), "for CMYK colours"),
    ],
)
def test_a_profile_that_cannot_be_meant_is_left_out_and_told(damaged, reason, capfd):
    decoded, notes = _noted(media_files.picture(COLOURS, icc_profile=damaged))
    np.testing.assert_array_equal(decoded, COLOURS)
    (note,) = notes
    assert isinstance(note, errors.DataWarning)
    assert reason in str(note)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_inks_are_mapped_by_their_profile(format):
    """Paper, each ink alone, and black over one: by CIE L*a*b* under D50."""
    single = [(100, 0, 0), (55, -30, -40), (50, 60, 0), (88, -5, 70)]
    mixtures = []
    for number in range(16):  # cyan is the first axis, black the last
        inks = [i for i in range(4) if number >> (3 - i) & 1]
        light, a, b = np.mean([single[i + 1] for i in inks if i < 3] or [single[0]], 0)
        mixtures.append((0, 0, 0) if 3 in inks else (light, a, b))
    of_inks = ink_profile(mixtures)
    for number in (0, 8, 4, 2, 1, 9):
        inks = [255 * (number >> (3 - i) & 1) for i in range(4)]
        file = io.BytesIO()
        picture = Image.new("CMYK", (16, 16), tuple(inks))
        picture.save(file, format, icc_profile=of_inks, quality=100)
        light, a, b = mixtures[number]
        y = (light + 16) / 116
        ratio = np.array([y + a / 500, y, y - b / 200])
        ratio = np.where(ratio > 6 / 29, ratio**3, 3 * (6 / 29) ** 2 * (ratio - 4 / 29))
        rgb = np.clip(ratio * [0.9642, 1, 0.8249] @ np.linalg.inv(np.array(SRGB)), 0, 1)
        expected = 255 * np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
        decoded, notes = _noted(file.getvalue())
        assert not notes
        np.testing.assert_allclose(decoded[8, 8], expected, atol=3)
        stored = np.asarray(Image.open(file).convert("RGB"))
        np.testing.assert_array_equal(image.decode(file.getvalue(), STORED), stored)


def test_inks_without_a_fitting_profile_are_as_before():
    picture = Image.fromarray(COLOURS).convert("CMYK")
    picture.info["icc_profile"] = SRGB_PROFILE
    decoded, (note,) = _noted(picture)
    np.testing.assert_array_equal(decoded, np.asarray(picture.convert("RGB")))
    assert "for RGB colours, and is in mode CMYK" in str(note)


def test_readings_are_taken_as_they_are_stored():
    data = media_files.picture(COLOURS, icc_profile=profile(ADOBE_RGB, 1.0))
    for modality in ("image", "thermal"):
        spec = specs.preset(modality, "reference")
        np.testing.assert_array_equal(preprocess.decode(modality, data, spec), COLOURS)
    thermal = preprocess.decode("thermal", data, specs.preset("thermal"))
    np.testing.assert_array_equal(thermal, COLOURS)


def test_pictures_of_a_clip_have_their_profiles_applied():
    data = media_files.picture(COLOURS, icc_profile=profile(ADOBE_RGB, 2.2))
    for colour in ("srgb", "stored"):
        clip = video.decode([data] * 3, specs.VideoSpec(frames=2, colour=colour))
        expected = image.decode(data, specs.ImageSpec(colour=colour))
        np.testing.assert_array_equal(clip, np.stack([expected] * 2))


def test_a_profile_is_read_once():
    data = media_files.picture(COLOURS, icc_profile=profile(ADOBE_RGB, 1.9))
    before = icc._transform.cache_info().hits
    for _ in range(3):
        image.decode(data, SHOWN)
    assert icc._transform.cache_info().hits == before + 2

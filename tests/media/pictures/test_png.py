"""PNG files with large text or profiles, and such of other formats."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from lb_jax.core import errors
from lb_jax.media import image, specs
from lb_jax.media.pictures import png

SPEC = specs.ImageSpec()
PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
LARGE = b"x" * (2 << 20)


def encoded(**options):
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", **options)
    return file.getvalue()


PLAIN = encoded()


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def with_chunks(*chunks, before=True):
    place = 33 if before else PLAIN.rfind(b"IEND") - 4
    return PLAIN[:place] + b"".join(chunks) + PLAIN[place:]


TEXTS = {
    "zTXt": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LARGE)),
    "iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LARGE)),
    "iTXt, not packed": chunk(b"iTXt", b"workflow\0\0\0\0\0" + LARGE),
    "tEXt": chunk(b"tEXt", b"workflow\0" + LARGE),
    "exactly the limit": chunk(
        b"zTXt", b"workflow\0\0" + zlib.compress(LARGE[: PngImagePlugin.MAX_TEXT_CHUNK])
    ),
    "profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(LARGE)),
    "profile beyond the limit": chunk(b"iCCP", b"p\0\0" + zlib.compress(LARGE * 10)),
    "damaged text": chunk(b"zTXt", b"workflow\0\0no zlib"),
}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", TEXTS)
def test_text_of_any_size_leaves_the_picture(name, before):
    found = image.decode(with_chunks(TEXTS[name], before=before), SPEC)
    np.testing.assert_array_equal(found, PICTURE)


def test_many_texts_that_fill_memory_leave_the_picture():
    one = chunk(b"zTXt", b"k\0\0" + zlib.compress(LARGE[: 1 << 19]))
    media = with_chunks(*[one] * 200)  # 100 MiB once inflated
    tracemalloc.start()
    np.testing.assert_array_equal(image.decode(media, SPEC), PICTURE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * PngImagePlugin.MAX_TEXT_MEMORY + (16 << 20)


def test_a_bomb_is_not_inflated():
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(64 << 20)))
    media = with_chunks(*[bomb] * 4)
    tracemalloc.start()
    np.testing.assert_array_equal(image.decode(media, SPEC), PICTURE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def test_files_that_pillow_takes_are_given_to_it_as_they_are():
    for media in (PLAIN, with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"short")))):
        file = io.BytesIO(media)
        assert png.bounded(file) == (file, None)
        assert file.tell() == 0


def test_the_orientation_of_a_small_text_beside_a_large_one_holds():
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><a tiff:Orientation="6"/></x:xmpmeta>'
    media = with_chunks(chunk(b"iTXt", xmp), TEXTS["zTXt"])
    np.testing.assert_array_equal(image.decode(media, SPEC), np.rot90(PICTURE, -1))


def test_a_large_profile_is_kept():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + LARGE
    media = encoded(icc_profile=profile)
    assert png.bounded(io.BytesIO(media))[1] == profile
    assert image.open_picture(media, "").info["icc_profile"] == profile


@pytest.mark.parametrize("cut", [40, 60, len(PLAIN) + 500])
def test_a_cut_file_is_told(cut):
    with pytest.raises(errors.DataError):
        image.decode(with_chunks(TEXTS["zTXt"], before=False)[:cut], SPEC)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"icc_profile": LARGE}),
        ("JPEG", {"comment": b"c" * 60_000}),
        ("WEBP", {"icc_profile": LARGE, "xmp": LARGE}),
        ("TIFF", {"icc_profile": LARGE}),
        ("AVIF", {"icc_profile": LARGE}),
    ],
)
def test_other_formats_hold_large_profiles(kind, options):
    plain, large = io.BytesIO(), io.BytesIO()
    Image.fromarray(PICTURE).save(plain, kind)
    Image.fromarray(PICTURE).save(large, kind, **options)
    assert len(large.getvalue()) > len(plain.getvalue()) + 50_000
    found = image.decode(large.getvalue(), SPEC)
    np.testing.assert_array_equal(found, image.decode(plain.getvalue(), SPEC))

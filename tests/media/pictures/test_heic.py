"""HEIC pictures, written by pillow-heif."""

import io
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import image, specs
from lb_jax.media.pictures import heic

Y, X = np.mgrid[:48, :64]
PICTURE = np.stack([2 * X, 3 * Y, X + Y], -1).astype(np.uint8)


def encoded(orientation=1, kind="HEIF"):
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    options = {"exif": exif.tobytes()} if kind == "HEIF" else {}
    Image.fromarray(PICTURE).save(file, kind, quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2)])
def test_a_picture_is_decoded_upright(orientation, turns):
    found = image.decode(encoded(orientation), specs.ImageSpec()).astype(int)
    assert np.abs(found - np.rot90(PICTURE, turns)).mean() < 2


def test_avif_and_films_are_not_heic():
    assert heic.is_heic(io.BytesIO(encoded()))
    assert not heic.is_heic(io.BytesIO(encoded(kind="AVIF")))
    assert not heic.is_heic(io.BytesIO(b"\0\0\0\x18ftypisom\0\0\0\0isommp41"))


def test_without_the_library_the_extra_is_named(monkeypatch):
    content = encoded()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(errors.DataError, match=r"pillow-heif reads; .*lb_jax\[sensors\]"):
        image.decode(content, specs.ImageSpec())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_picture_is_told(share):
    content = encoded()
    with pytest.raises(errors.DataError):
        image.decode(content[: int(share * len(content))], specs.ImageSpec())

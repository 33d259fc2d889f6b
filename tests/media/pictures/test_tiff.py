"""Grey TIFFs of every kind of number, as the maps of depth that they hold."""

import struct

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import depth, preprocess, specs
from tests.media.sensors import scene

SPEC = specs.DepthSpec()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_tiffs_of_every_number_are_read(kind, order):
    values = scene.SCENE.astype(kind) if kind[0] == "f" else scene.stored(1000, kind)
    exact = values.astype(np.float64) / (1 if kind[0] == "f" else 1000)
    for options in ({}, {"compression": "zlib", "tile": (16, 16)}, {"bigtiff": True}):
        decoded = depth.decode(scene.tiff(values, byteorder=order, **options), SPEC)
        np.testing.assert_allclose(decoded, exact, rtol=1e-6)


@pytest.mark.parametrize("kind", ["u2", "f2", "f4"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_stand_upright_whatever_reads_them(kind, orientation):
    values = scene.SCENE.astype(kind) if kind[0] == "f" else scene.stored(1000, kind)
    exact = values.astype(np.float64) / (1 if kind[0] == "f" else 1000)
    upright = {
        1: exact,
        2: exact[:, ::-1],
        3: exact[::-1, ::-1],
        4: exact[::-1],
        5: exact.T,
        6: exact[::-1].T,
        7: exact[::-1, ::-1].T,
        8: exact.T[::-1],
    }[orientation]
    item = scene.tiff(values, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_allclose(depth.decode(item, SPEC), upright, rtol=1e-6)


def packed_tiff(values, bits, *, white_is_zero=False, order="<"):
    """A TIFF of numbers of 9 to 15 bits, packed, written byte by byte."""
    wide = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(scene.H, scene.W, 2), axis=2)
    data = np.packbits(wide[:, :, 16 - bits :].reshape(scene.H, -1), axis=1).tobytes()
    tags = [
        *(
            (256, 4, scene.W),
            (257, 4, scene.H),
            (258, 3, bits),
            (259, 3, 1),
            (262, 3, int(not white_is_zero)),
        ),
        *((273, 4, 8), (277, 3, 1), (278, 4, scene.H), (279, 4, len(data)), (339, 3, 1)),
    ]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data)) + data
    out += struct.pack(f"{order}H", len(tags))
    for tag, form, value in tags:
        room = (value, 0) if form == 3 else (value,)
        out += struct.pack(f"{order}HHI{'HH' if form == 3 else 'I'}", tag, form, 1, *room)
    return out + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_tiffs_of_packed_numbers_are_read(bits, order):
    values = scene.stored(300)
    item = packed_tiff(values, bits, order=order)
    np.testing.assert_allclose(
        depth.decode(item, specs.DepthSpec(unit_m=1 / 300)), values / 300, rtol=1e-6
    )


@pytest.mark.parametrize("order", "<>")
def test_depth_that_is_white_at_zero_is_turned(order):
    for kind, largest in (("u2", 65535), ("u4", 2**32 - 1)):
        values = (largest - scene.stored(1000, np.int64)).astype(kind)
        item = scene.tiff(values, photometric="miniswhite", byteorder=order)
        np.testing.assert_allclose(depth.decode(item, SPEC), scene.stored(1000) / 1000, rtol=1e-6)
    item = packed_tiff(4095 - scene.stored(1000), 12, white_is_zero=True, order=order)
    np.testing.assert_allclose(depth.decode(item, SPEC), scene.stored(1000) / 1000, rtol=1e-6)


@pytest.mark.parametrize("modality", ["depth", "image", "thermal"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("order", "<>")
def test_tiles_larger_than_any_picture_are_refused_before_they_are_held(modality, kind, order):
    item = scene.tiff(scene.SCENE.astype(kind), byteorder=order, tile=(16, 16))
    for tag in (322, 323):
        was = struct.pack(f"{order}HHII", tag, 4, 1, 16)
        assert item.count(was) == 1
        item = item.replace(was, struct.pack(f"{order}HHII", tag, 4, 1, 4112))
    with pytest.raises(errors.DataError, match="pixels in tiles of 4112x4112, so it is damaged"):
        preprocess.preprocess(modality, item)

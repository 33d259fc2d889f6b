"""One scene in many files, which other libraries or a few lines of struct write."""

import builtins
import io
import struct
import warnings

import h5py
import numpy as np
import OpenEXR
import pytest
import scipy.io
import tifffile
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import depth, specs
from lb_jax.media.sensors import depth_files, depth_units
from tests.media import media_files

SPEC = specs.DepthSpec()
Y, X = np.mgrid[:41, :53]
SCENE = 1.2 + 0.02 * Y + 0.8 * np.exp(-((X - 20) ** 2 + (Y - 15) ** 2) / 90)  # metres
SCENE[:4] = 0  # no reading
H, W = SCENE.shape


def stored(per_metre, dtype=np.uint16):
    return np.round(SCENE * per_metre).astype(dtype)


def pgm(values, largest):
    return b"P5\n# by hand\n%d %d\n%d\n" % (W, H, largest) + values.astype(">u2").tobytes()


def plain_pgm(values, largest):
    return b"P2 %d %d %d\n" % (W, H, largest) + b" ".join(b"%d" % v for v in values.ravel())


def pfm(metres, order):
    scale = -1 if order == "<" else 1
    return b"Pf\n%d %d\n%d\n" % (W, H, scale) + metres[::-1].astype(f"{order}f4").tobytes()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def hdf5(fill, userblock=b""):
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=len(userblock)) as opened:
        fill(opened)
    return userblock + file.getvalue()[len(userblock) :]


def mat(**options):
    file = io.BytesIO()
    scipy.io.savemat(file, {"text": "a", "K": np.eye(3), "depth": SCENE}, **options)
    return file.getvalue()


def exr(channels, tmp_path, **header):
    path = str(tmp_path / "made.exr")
    usual = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(usual | header, channels).write(path)
    return (tmp_path / "made.exr").read_bytes()


def jp2(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG2000", irreversible=False)
    return file.getvalue()


V73 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
F4 = SCENE.astype(np.float32)
ROTATED = (stored(1000) << 3) | (stored(1000) >> 13)
# name -> (what makes the file, given a folder; unit)
SOURCES = {
    "png mm": (lambda _: media_files.picture(stored(1000)), None),
    "png tum": (lambda _: media_files.picture(stored(5000)), "tum"),
    "png matterport": (lambda _: media_files.picture(stored(4000)), "matterport"),
    "png sunrgbd": (lambda _: media_files.picture(ROTATED), "sunrgbd"),
    "png 7scenes": (
        lambda _: media_files.picture(np.where(SCENE == 0, 65535, stored(1000)).astype(np.uint16)),
        "7-scenes",
    ),
    "png 0.1 mm": (lambda _: media_files.picture(stored(10_000)), "0.1mm"),
    "jp2 mm": (lambda _: jp2(stored(1000)), None),
    "pgm of 16 bits": (lambda _: pgm(stored(1000), 65535), None),
    "pgm of another maximum": (lambda _: pgm(stored(1000), 4000), None),
    "pgm in words": (lambda _: plain_pgm(stored(1000), 4000), None),
    "pfm little": (lambda _: pfm(SCENE, "<"), None),
    "pfm big": (lambda _: pfm(SCENE, ">"), None),
    "npy big": (lambda _: _npy(stored(1000).astype(">u2")), None),
    "npz": (lambda _: npz(rgb=np.zeros((H, W, 3), np.uint8), depth=F4), None),
    "hdf5": (lambda _: hdf5(lambda one: one.create_dataset("a/depth", data=F4)), None),
    "hdf5 packed": (
        lambda _: hdf5(
            lambda one: one.create_dataset("dataset", data=stored(1000, ">u2"), compression="gzip")
        ),
        None,
    ),
    "mat 7.3": (
        lambda _: hdf5(lambda one: one.create_dataset("depth", data=F4.T), V73.ljust(512, b"\0")),
        None,
    ),
    "mat 5": (lambda _: mat(), None),
    "mat 5 packed": (lambda _: mat(do_compression=True), None),
    "exr Z": (lambda folder: exr({"Z": np.where(F4 == 0, np.float32(1e10), F4)}, folder), None),
    "exr layer": (
        lambda folder: exr(
            {"ViewLayer.Depth.Z": F4, "ViewLayer.Combined.RGB": np.zeros((H, W, 3), np.float16)},
            folder,
        ),
        None,
    ),
    "exr V": (lambda folder: exr({"V": F4}, folder, compression=OpenEXR.NO_COMPRESSION), None),
}


def _npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("name", SOURCES)
def test_sources_of_one_scene_agree_within_a_millimetre(name, tmp_path):
    make, unit = SOURCES[name]
    item = make(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded = depth.decode(depth_units.Measured(item, unit) if unit else item, SPEC)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, SCENE, atol=0.001)
    assert (decoded[:4] == 0).all()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_tiffs_of_every_number_are_read(kind, order):
    values = SCENE.astype(kind) if kind[0] == "f" else stored(1000, kind)
    exact = values.astype(np.float64) / (1 if kind[0] == "f" else 1000)
    for options in ({}, {"compression": "zlib", "tile": (16, 16)}, {"bigtiff": True}):
        decoded = depth.decode(tiff(values, byteorder=order, **options), SPEC)
        np.testing.assert_allclose(decoded, exact, rtol=1e-6)


@pytest.mark.parametrize("kind", ["u2", "f2", "f4"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_stand_upright_whatever_reads_them(kind, orientation):
    values = SCENE.astype(kind) if kind[0] == "f" else stored(1000, kind)
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
    item = tiff(values, extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_allclose(depth.decode(item, SPEC), upright, rtol=1e-6)


def packed_tiff(values, bits, *, white_is_zero=False, order="<"):
    """A TIFF of numbers of 9 to 15 bits, packed, written byte by byte."""
    wide = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(H, W, 2), axis=2)
    data = np.packbits(wide[:, :, 16 - bits :].reshape(H, -1), axis=1).tobytes()
    tags = [
        *((256, 4, W), (257, 4, H), (258, 3, bits), (259, 3, 1), (262, 3, int(not white_is_zero))),
        *((273, 4, 8), (277, 3, 1), (278, 4, H), (279, 4, len(data)), (339, 3, 1)),
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
    values = stored(300)
    item = packed_tiff(values, bits, order=order)
    np.testing.assert_allclose(
        depth.decode(item, specs.DepthSpec(unit_m=1 / 300)), values / 300, rtol=1e-6
    )


@pytest.mark.parametrize("order", "<>")
def test_depth_that_is_white_at_zero_is_turned(order):
    for kind, largest in (("u2", 65535), ("u4", 2**32 - 1)):
        values = (largest - stored(1000, np.int64)).astype(kind)
        item = tiff(values, photometric="miniswhite", byteorder=order)
        np.testing.assert_allclose(depth.decode(item, SPEC), stored(1000) / 1000, rtol=1e-6)
    item = packed_tiff(4095 - stored(1000), 12, white_is_zero=True, order=order)
    np.testing.assert_allclose(depth.decode(item, SPEC), stored(1000) / 1000, rtol=1e-6)


def test_a_pfm_of_another_scale_is_taken_as_stored_with_a_warning():
    item = pfm(SCENE, "<").replace(b"\n-1\n", b"\n-0.003922\n")
    with pytest.warns(errors.DataWarning, match=r"PFM scale 0\.003922"):
        np.testing.assert_allclose(depth.decode(item, SPEC), SCENE, rtol=1e-6)


def _several(tmp_path):
    return exr({"R": F4, "G": F4, "B": 2 * F4}, tmp_path)


def _linked(_):
    return hdf5(lambda one: one.__setitem__("depth", h5py.ExternalLink("other.h5", "/depth")))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: npz(a=F4, b=F4), r"holds a float32 \[41, 53\], b .* one called depth"),
        (lambda _: npz(rgb=np.zeros((4, 4, 3))), "one map"),
        (lambda _: hdf5(lambda one: one.__setitem__("depths", np.zeros((3, 4, 5)))), "one map"),
        (_linked, "holds no array"),
        (_several, "channels B, G, R; expected Z"),
        (lambda _: pgm(stored(1000), 255)[: 40 + W * H], "8-bit with channels L"),
        (lambda _: pgm(stored(1000), 4000)[:-1], "cut off"),
        (lambda _: pgm(stored(1000), 70_000), "maximum 70000"),
        (lambda _: b"P5 100000 100000 4000\n" + bytes(99), "more than 89 megapixels"),
        (lambda _: pfm(SCENE, "<")[:-1], "cut off"),
        (lambda _: b"PF\n4 4\n-1\n" + bytes(192), "three colours"),
        (lambda _: b"Pf\n4 4\n0\n" + bytes(64), "scale"),
        (lambda _: tiff(stored(1000))[:-3000], "damaged|cut off"),
        (lambda _: tiff(np.zeros((4, 4, 3), np.uint16)), "channels R/G/B"),
        (lambda folder: exr({"Z": F4}, folder)[:-99], "damaged"),
        (lambda _: hdf5(lambda one: one.create_dataset("a", data=F4))[:900], "damaged HDF5"),
        (lambda _: mat()[:-900], "damaged MATLAB"),
        (lambda _: npz(depth=F4)[:-30], "damaged NPZ"),
    ],
)
def test_files_without_a_map_are_refused(make, reason, tmp_path, capfd):
    with pytest.raises(errors.DataError, match=reason):
        depth.decode(make(tmp_path), SPEC)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("library", "make", "named"),
    [
        ("OpenEXR", lambda folder: exr({"Z": F4}, folder), "EXR"),
        ("h5py", SOURCES["hdf5"][0], r"HDF5 .*v7\.3"),
        ("tifffile", lambda _: tiff(SCENE.astype(np.float16)), "TIFF of 16-bit floating point"),
    ],
)
def test_a_library_that_is_not_there_is_told_with_its_extra(
    library, make, named, monkeypatch, tmp_path
):
    item, real = make(tmp_path), builtins.__import__

    def lacking(name, *args, **kwargs):
        if name == library:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(errors.DataError, match=rf"{named}.*needs the library {library}.*sensors"):
        depth.decode(item, SPEC)


def test_a_heic_says_what_it_holds():
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(file)
    with pytest.raises(errors.DataError, match="HEIC picture without a depth image"):
        depth.decode(file.getvalue(), SPEC)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ({"representation_type": 1}, "holds disparity, which is no depth"),
        ({"representation_type": 0, "z_near": 1.0}, "holds inverse depth"),
        (None, "disparity without its scale"),
        ({"representation_type": 2}, "depth without its range"),
    ],
)
def test_a_heic_with_a_depth_image_says_of_which_kind(kind, told, monkeypatch):
    item = _heic(kind, monkeypatch)
    with pytest.raises(errors.DataError, match=told):
        depth.decode(item, SPEC)


def test_a_heic_with_depth_between_two_ends_is_read(monkeypatch):
    item = _heic({"representation_type": 2, "z_near": 1.0, "z_far": 3.0}, monkeypatch)
    np.testing.assert_allclose(depth.decode(item, SPEC), [[1, 2.0039217], [3, 1]], rtol=1e-6)


def _heic(metadata, monkeypatch):
    """A HEIC whose depth image, which no library here writes, is added as it is opened."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(file)
    opened = pillow_heif.open_heif(io.BytesIO(file.getvalue()))

    class Depth:
        def __init__(self):
            self.info = {"metadata": metadata}

        def __array__(self, dtype=None, copy=None):
            return np.array([[0, 128], [255, 0]], np.uint8)

    opened.info["depth_images"] = [Depth()]
    monkeypatch.setattr(pillow_heif, "open_heif", lambda *_, **__: opened)
    return file.getvalue()


def test_the_map_of_a_file_is_chosen_by_its_name():
    shape = (4, 5), np.dtype("f4")
    assert depth_files.choose({"a": shape}, "x") == "a"
    assert depth_files.choose({"a": shape, "Depth_Map": shape}, "x") == "Depth_Map"
    assert depth_files.choose({"z": shape, "depth": shape}, "x") == "depth"
    assert depth_files.choose({"conf": shape, "pred_depth": shape}, "x") == "pred_depth"
    with pytest.raises(errors.DataError, match="expected one map"):
        depth_files.choose({"depth_gt": shape, "depth_pred": shape}, "x")


def test_an_axis_of_one_channel_is_left_out():
    for item in (SCENE[..., None], stored(1000)[..., None]):
        np.testing.assert_allclose(depth.decode(item, SPEC), SCENE, atol=0.001)
        file = io.BytesIO()
        np.save(file, item)
        np.testing.assert_allclose(depth.decode(file.getvalue(), SPEC), SCENE, atol=0.001)


def test_a_mat_of_version_4_is_told(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"depth": SCENE}, format="4")
    with pytest.raises(errors.DataError, match=r"no \.mat of version 5 or 7\.3"):
        depth.decode(tmp_path / "a.mat", SPEC)

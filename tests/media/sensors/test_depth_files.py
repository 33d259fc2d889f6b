"""One scene in many files gives one map; files without one are refused."""

import builtins
import io
import warnings

import h5py
import numpy as np
import OpenEXR
import pytest
import scipy.io
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import depth, specs
from lb_jax.media.sensors import depth_units
from tests.media import media_files
from tests.media.sensors import scene

SPEC = specs.DepthSpec()


V73 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
F4 = scene.SCENE.astype(np.float32)
ROTATED = (scene.stored(1000) << 3) | (scene.stored(1000) >> 13)
# name -> (what makes the file, given a folder; unit)
SOURCES = {
    "png mm": (lambda _: media_files.picture(scene.stored(1000)), None),
    "png tum": (lambda _: media_files.picture(scene.stored(5000)), "tum"),
    "png matterport": (lambda _: media_files.picture(scene.stored(4000)), "matterport"),
    "png sunrgbd": (lambda _: media_files.picture(ROTATED), "sunrgbd"),
    "png 7scenes": (
        lambda _: media_files.picture(
            np.where(scene.SCENE == 0, 65535, scene.stored(1000)).astype(np.uint16)
        ),
        "7-scenes",
    ),
    "png 0.1 mm": (lambda _: media_files.picture(scene.stored(10_000)), "0.1mm"),
    "jp2 mm": (lambda _: scene.jp2(scene.stored(1000)), None),
    "pgm of 16 bits": (lambda _: scene.pgm(scene.stored(1000), 65535), None),
    "pgm of another maximum": (lambda _: scene.pgm(scene.stored(1000), 4000), None),
    "pgm in words": (lambda _: scene.plain_pgm(scene.stored(1000), 4000), None),
    "pfm little": (lambda _: scene.pfm(scene.SCENE, "<"), None),
    "pfm big": (lambda _: scene.pfm(scene.SCENE, ">"), None),
    "npy big": (lambda _: _npy(scene.stored(1000).astype(">u2")), None),
    "npz": (lambda _: scene.npz(rgb=np.zeros((scene.H, scene.W, 3), np.uint8), depth=F4), None),
    "hdf5": (lambda _: scene.hdf5(lambda one: one.create_dataset("a/depth", data=F4)), None),
    "hdf5 packed": (
        lambda _: scene.hdf5(
            lambda one: one.create_dataset(
                "dataset", data=scene.stored(1000, ">u2"), compression="gzip"
            )
        ),
        None,
    ),
    "mat 7.3": (
        lambda _: scene.hdf5(
            lambda one: one.create_dataset("depth", data=F4.T), V73.ljust(512, b"\0")
        ),
        None,
    ),
    "mat 5": (lambda _: scene.mat(), None),
    "mat 5 packed": (lambda _: scene.mat(do_compression=True), None),
    "exr Z": (
        lambda folder: scene.exr({"Z": np.where(F4 == 0, np.float32(1e10), F4)}, folder),
        None,
    ),
    "exr layer": (
        lambda folder: scene.exr(
            {
                "ViewLayer.Depth.Z": F4,
                "ViewLayer.Combined.RGB": np.zeros((scene.H, scene.W, 3), np.float16),
            },
            folder,
        ),
        None,
    ),
    "exr V": (
        lambda folder: scene.exr({"V": F4}, folder, compression=OpenEXR.NO_COMPRESSION),
        None,
    ),
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
    np.testing.assert_allclose(decoded, scene.SCENE, atol=0.001)
    assert (decoded[:4] == 0).all()


def _several(tmp_path):
    return scene.exr({"R": F4, "G": F4, "B": 2 * F4}, tmp_path)


def _linked(_):
    return scene.hdf5(lambda one: one.__setitem__("depth", h5py.ExternalLink("other.h5", "/depth")))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: scene.npz(a=F4, b=F4), r"holds a float32 \[41, 53\], b .* one called depth"),
        (lambda _: scene.npz(rgb=np.zeros((4, 4, 3))), "one map"),
        (
            lambda _: scene.hdf5(lambda one: one.__setitem__("depths", np.zeros((3, 4, 5)))),
            "one map",
        ),
        (_linked, "holds no array"),
        (_several, "channels B, G, R; expected Z"),
        (
            lambda _: scene.pgm(scene.stored(1000), 255)[: 40 + scene.W * scene.H],
            "8-bit with channels L",
        ),
        (lambda _: scene.pgm(scene.stored(1000), 4000)[:-1], "cut off"),
        (lambda _: scene.pgm(scene.stored(1000), 70_000), "maximum 70000"),
        (lambda _: b"P5 100000 100000 4000\n" + bytes(99), "more than 89 megapixels"),
        (lambda _: scene.pfm(scene.SCENE, "<")[:-1], "cut off"),
        (lambda _: b"PF\n4 4\n-1\n" + bytes(192), "three colours"),
        (lambda _: b"Pf\n4 4\n0\n" + bytes(64), "scale"),
        (lambda _: scene.tiff(scene.stored(1000))[:-3000], "damaged|cut off"),
        (lambda _: scene.tiff(np.zeros((4, 4, 3), np.uint16)), "channels R/G/B"),
        (lambda folder: scene.exr({"Z": F4}, folder)[:-99], "damaged"),
        (lambda _: scene.hdf5(lambda one: one.create_dataset("a", data=F4))[:900], "damaged HDF5"),
        (lambda _: scene.mat()[:-900], "damaged MATLAB"),
        (lambda _: scene.npz(depth=F4)[:-30], "damaged NPZ"),
    ],
)
def test_files_without_a_map_are_refused(make, reason, tmp_path, capfd):
    with pytest.raises(errors.DataError, match=reason):
        depth.decode(make(tmp_path), SPEC)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("library", "make", "named"),
    [
        ("OpenEXR", lambda folder: scene.exr({"Z": F4}, folder), "EXR"),
        ("h5py", SOURCES["hdf5"][0], r"HDF5 .*v7\.3"),
        (
            "tifffile",
            lambda _: scene.tiff(scene.SCENE.astype(np.float16)),
            "TIFF of 16-bit floating point",
        ),
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


def test_a_mat_of_version_4_is_told(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"depth": scene.SCENE}, format="4")
    with pytest.raises(errors.DataError, match=r"no \.mat of version 5 or 7\.3"):
        depth.decode(tmp_path / "a.mat", SPEC)

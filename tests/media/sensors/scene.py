"""One scene in metres, and files of it which other libraries or a few lines of struct write."""

import io

import h5py
import numpy as np
import OpenEXR
import scipy.io
import tifffile
from PIL import Image

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

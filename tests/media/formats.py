"""A small file of each row of the table of formats in docs/media.md, made in memory.

`FILES` are read, and damaged by `benchmarks/fuzz_media.py`; `REFUSED` are not.
"""

import fractions
import functools
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from lb_jax.media.pictures import heic
from tests.media import cameras, media_files, motion


def _picture(format: str, mode: str = "RGB", **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        file = io.BytesIO()
        Image.fromarray(media_files.scene()).convert(mode).save(file, format, **options)
        return file.getvalue()

    return make


def _oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return _picture("JPEG", exif=exif)()


def _depth(format: str, **options: object) -> Callable[[], bytes]:
    millimetres = media_files.scene()[..., 0].astype(np.uint16) * 20 + 500
    return functools.partial(media_files.picture, millimetres, format, **options)


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, media_files.scene()[..., 0].astype(np.uint16) * 20 + 500)
    return file.getvalue()


def _celsius() -> np.ndarray:
    return media_files.scene()[..., 0].astype(np.float32) / 20 + 15


def _three(ending: str) -> bytes:
    deep = (100 * _celsius()).astype(np.uint16)
    return cv2.imencode(ending, np.repeat(deep[..., None], 3, -1))[1].tobytes()


def _flir(form: str) -> bytes:
    celsius = _celsius()
    shown = cameras.rainbow((celsius - 15) / 13, 64)
    return cameras.flir(shown, cameras.counts(celsius), form=form, emissivity=0.95, distance=2.0)


def _dji() -> bytes:
    square = _celsius()[:40, :40]
    return cameras.dji(cameras.rainbow((square - 15) / 13, 80), cameras.counts(square), size=1000)


def _heic() -> bytes:
    heic.require("a file of the fuzzer")
    return _picture("HEIF", quality=80)()


def _long_png() -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_text("workflow", "x" * (2 << 20), zip=True)
    return _picture("PNG", pnginfo=about)()


def _metres() -> np.ndarray:
    return media_files.scene()[..., 0].astype(np.float32) / 50 + np.float32(0.5)


def _tiff(kind: str, **options: object) -> Callable[[], bytes]:
    def make() -> bytes:
        import tifffile

        values = _metres() if kind[0] == "f" else _metres() * 1000
        file = io.BytesIO()
        tifffile.imwrite(file, values.astype(kind), **options)
        return file.getvalue()

    return make


def _exr(name: str) -> Callable[[], bytes]:
    def make() -> bytes:
        import OpenEXR

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "made.exr"
            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {name: _metres()}).write(str(path))
            return path.read_bytes()

    return make


def _hdf5() -> bytes:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened.create_dataset("a/depth", data=_metres(), compression="gzip")
    return file.getvalue()


def _mat(*, packed: bool) -> Callable[[], bytes]:
    def make() -> bytes:
        import scipy.io

        file = io.BytesIO()
        scipy.io.savemat(file, {"depth": _metres(), "a": "text"}, do_compression=packed)
        return file.getvalue()

    return make


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, depth=_metres())
    return file.getvalue()


def _map(kind: bytes) -> Callable[[], bytes]:
    def make() -> bytes:
        metres = _metres()
        head = kind + b" %d %d " % metres.shape[::-1]
        if kind == b"Pf":
            return head + b"-1\n" + metres[::-1].astype("<f4").tobytes()
        values = (metres * 1000).astype(np.uint16)
        data = (
            values.astype(">u2").tobytes()
            if kind == b"P5"
            else b" ".join(b"%d" % value for value in values.ravel())
        )
        return head + b"9000\n" + data

    return make


def _sound(format: str, subtype: str | None = None) -> Callable[[], bytes]:
    stereo = media_files.noise(16000).reshape(-1, 2)
    return functools.partial(media_files.sound, stereo, 16000, format, subtype)


def _profiled(format: str, mode: str) -> Callable[[], bytes]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return _picture(format, mode, icc_profile=profile)


def _unfilled() -> bytes:
    data = bytearray(_sound("WAV")())
    data[4:8] = data[40:44] = bytes(4)
    return bytes(data)


def _twice(make: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: make() * 2


def _gap() -> bytes:
    wave = media_files.tone(440, 0.5)
    return media_files.muxed("mp4", media_files.Sounds([(0, wave), (3, wave)]))


def _clip(format: str, codec: str, **options: object) -> Callable[[], bytes]:
    return functools.partial(media_files.clip, 12, format, codec, **options)


def _film(format: str, codec: str, pixels: str, **options: object) -> Callable[[], bytes]:
    return functools.partial(media_files.coded, format, codec, pixels, **options)


# name -> modality, whole file.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jpg": ("image", _oriented),
    "jpg progressive": ("image", _picture("JPEG", progressive=True)),
    "jpg cmyk": ("image", _picture("JPEG", "CMYK")),
    "png": ("image", _picture("PNG")),
    "png palette": ("image", _picture("PNG", "P", transparency=0)),
    "jpg with a profile": ("image", _profiled("JPEG", "RGB")),
    "png with a profile": ("image", _profiled("PNG", "RGBA")),
    "webp": ("image", _picture("WEBP")),
    "webp lossless": ("image", _picture("WEBP", "RGBA", lossless=True)),
    "bmp": ("image", _picture("BMP")),
    "gif picture": ("thermal", _picture("GIF", "P")),
    "tiff": ("image", _picture("TIFF")),
    "tiff lzw": ("image", _picture("TIFF", compression="tiff_lzw")),
    "tiff deflate": ("image", _picture("TIFF", compression="tiff_adobe_deflate")),
    "tiff jpeg": ("image", _picture("TIFF", compression="jpeg")),
    "tiff fax": ("thermal", _picture("TIFF", "1", compression="group4")),
    "avif": ("image", _picture("AVIF")),
    "jpeg 2000": ("image", _picture("JPEG2000")),
    "ppm": ("thermal", _picture("PPM", "L")),
    "depth png": ("depth", _depth("PNG")),
    "depth tiff": ("depth", _depth("TIFF", compression="tiff_lzw")),
    "depth npy": ("depth", _npy),
    "thermal png": ("thermal", lambda: media_files.picture((100 * _celsius()).astype(np.uint16))),
    "thermal png of colours": ("thermal", functools.partial(_three, ".png")),
    "thermal tiff of colours": ("thermal", functools.partial(_three, ".tiff")),
    "thermal flir": ("thermal", functools.partial(_flir, "raw")),
    "thermal flir png": ("thermal", functools.partial(_flir, "png")),
    "thermal dji": ("thermal", _dji),
    "thermal irg": ("thermal", lambda: cameras.irg(_celsius())),
    "heic": ("image", _heic),
    "png with much text": ("image", _long_png),
    "depth npz": ("depth", _npz),
    "depth pgm": ("depth", _map(b"P5")),
    "depth pgm in words": ("depth", _map(b"P2")),
    "depth pfm": ("depth", _map(b"Pf")),
    "depth tiff of halves": ("depth", _tiff("f2")),
    "depth tiff of floats": ("depth", _tiff("f4", compression="zlib", tile=(32, 32))),
    "depth bigtiff": ("depth", _tiff("u4", bigtiff=True, byteorder=">")),
    "tiff white at zero": ("image", _tiff("u2", photometric="miniswhite", byteorder=">")),
    "depth exr": ("depth", _exr("Z")),
    "depth hdf5": ("depth", _hdf5),
    "depth mat": ("depth", _mat(packed=False)),
    "depth mat packed": ("depth", _mat(packed=True)),
    "wav": ("audio", _sound("WAV")),
    "wav float": ("audio", _sound("WAV", "FLOAT")),
    "wav adpcm": ("audio", _sound("WAV", "IMA_ADPCM")),
    "aiff": ("audio", _sound("AIFF")),
    "flac": ("audio", _sound("FLAC")),
    "mp3": ("audio", _sound("MP3")),
    "ogg vorbis": ("audio", _sound("OGG", "VORBIS")),
    "ogg opus": ("audio", _sound("OGG", "OPUS")),
    "m4a": ("audio", functools.partial(media_files.coded_sound, "ipod", "aac")),
    "aac": ("audio", functools.partial(media_files.coded_sound, "adts", "aac")),
    "mp3 without a table": (
        "audio",
        functools.partial(media_files.coded_sound, "mp3", "libmp3lame", write_xing="0"),
    ),
    "wav without sizes": ("audio", _unfilled),
    "rf64": ("audio", _sound("RF64")),
    "au": ("audio", _sound("AU")),
    "wave64": ("audio", _sound("W64")),
    "caf": ("audio", _sound("CAF")),
    "ogg chained": ("audio", _twice(_sound("OGG", "OPUS"))),
    "flac joined": ("audio", _twice(_sound("FLAC"))),
    "mp3 joined": (
        "audio",
        _twice(functools.partial(media_files.coded_sound, "mp3", "libmp3lame")),
    ),
    "sound with a gap": ("audio", _gap),
    "sound of mp4": ("audio", _clip("mp4", "libx264", sound=True)),
    "mp4": ("video", _clip("mp4", "libx264", rotation=90)),
    "mp4 mpeg4": ("video", _clip("mp4", "mpeg4")),
    "mkv": ("video", _clip("matroska", "libx264", rough=True)),
    "webm": ("video", _clip("webm", "libvpx")),
    "webm vp9": ("video", _clip("webm", "libvpx-vp9")),
    "avi": ("video", _clip("avi", "mpeg4")),
    "avi mjpeg": ("video", _clip("avi", "mjpeg", pixels="yuvj420p")),
    "ts": ("video", _clip("mpegts", "libx264", rough=True)),
    "hdr": ("video", _film("matroska", "ffv1", "yuv420p10le", transfer=16)),
    "dvd": ("video", _film("mp4", "libx264", "yuv420p", aspect=fractions.Fraction(64, 45))),
    "film of depth": ("depth", _film("matroska", "ffv1", "gray16le")),
    "gif": ("video", functools.partial(media_files.animation, 12)),
    "motion csv": ("imu", lambda: motion.table(*_swaying(), header=_UNITS)),
    "motion csv of semicolons": (
        "imu",
        lambda: motion.table(*_swaying(), header=_UNITS).replace(b",", b";").replace(b".", b","),
    ),
    "motion csv without units": ("imu", lambda: motion.table(*_swaying())),
    "motion parquet": ("imu", lambda: motion.columnar(*_swaying(), **_TOLD)),
    "motion npz": (
        "imu",
        lambda: motion.archive(accel=_readings()[:, :3], gyro=_readings()[:, 3:], **_TOLD),
    ),
    "motion npz of one array": ("imu", lambda: motion.archive(imu=_readings(), fs=100)),
}


_UNITS = "t,ax [m/s2],ay,az,gx [rad/s],gy,gz"
_TOLD = {"rate_hz": 100, "accel_unit": "m/s2", "gyro_unit": "rad/s"}


def _swaying() -> tuple[np.ndarray, np.ndarray]:
    return motion.swaying(seconds=5.0)


def _readings() -> np.ndarray:
    return _swaying()[1]


def _with_a_gap() -> bytes:
    times, readings = _swaying()
    readings[100:120] = np.nan
    return motion.table(times, readings, _UNITS)


@functools.cache
def whole(name: str) -> bytes:
    return FILES[name][1]()


def _saved(save: Callable[..., None], *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def _cut(make: Callable[[], bytes], count: int) -> Callable[[], bytes]:
    return lambda: make()[:-count]


# modality, file, words of the refusal
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "svg": ("image", lambda: b'<svg width="9" height="9"/>', "is not a readable image"),
    "tiff of floats": (
        "image",
        lambda: media_files.picture(_metres(), "TIFF"),
        "32-bit values without a known range",
    ),
    "jpg cut off": ("image", _cut(_picture("JPEG"), 100), "is damaged or cut off"),
    "film of 16-bit grey": (
        "video",
        _film("matroska", "ffv1", "gray16le"),
        "embed it as depth, or convert it",
    ),
    "still picture": ("video", _picture("JPEG"), "is a still picture"),
    "playlist": ("video", lambda: b"#EXTM3U\n#EXTINF:5,\na.ts\n", "is no video file"),
    "mp4 cut off": ("video", _cut(_clip("mp4", "libx264"), 200), "is cut off"),
    "film without sound": ("audio", _clip("mp4", "libx264"), "has no audio track"),
    "midi": ("audio", lambda: b"MThd\0\0\0\6\0\0\0\1\0\x60", "is no audio file"),
    "wav cut off": ("audio", _cut(_sound("WAV"), 1000), "is cut off"),
    "png of 8 bits": ("depth", _picture("PNG", "L"), "Export the raw depth, not a rendering"),
    "png of colours": ("depth", _picture("PNG"), "Export the raw depth, not a rendering"),
    "pgm of 8 bits": ("depth", _picture("PPM", "L"), "Export the raw depth, not a rendering"),
    "pfm of three colours": (
        "depth",
        lambda: b"PF 2 2\n-1\n" + np.ones((2, 2, 3), "<f4").tobytes(),
        "expected one channel",
    ),
    "npy of many maps": (
        "depth",
        lambda: _saved(np.save, np.ones((3, 4, 5), "f4")),
        "holds float32",
    ),
    "npz of two maps": (
        "depth",
        lambda: _saved(np.savez, left=np.ones((4, 5), "f4"), right=np.ones((4, 5), "f4")),
        "Save the map alone",
    ),
    "npy pickled": ("depth", lambda: _saved(np.save, np.array([{}], object)), "is no array"),
    "film of colours": ("depth", _clip("mp4", "libx264"), "has no depth track"),
    "motion npy": ("imu", lambda: _saved(np.save, _readings()), "says neither rate nor times"),
    "motion turned": (
        "imu",
        lambda: motion.archive(accel=_readings()[:, :3].T, gyro=_readings()[:, 3:].T, **_TOLD),
        "give its transpose",
    ),
    "motion with a gap": ("imu", _with_a_gap, "has 1 gap without readings"),
    "motion of wrong units": (
        "imu",
        lambda: motion.table(_swaying()[0], _readings() / motion.GRAVITY, _UNITS),
        "is gravity in g",
    ),
    "motion of swapped columns": (
        "imu",
        lambda: motion.table(_swaying()[0], _readings()[:, [3, 4, 5, 0, 1, 2]], _UNITS),
        "the columns are swapped",
    ),
    "table of captions": (
        "imu",
        lambda: b"path,caption\na.jpg,a cat\n",
        "has no column for accelerometer x",
    ),
}

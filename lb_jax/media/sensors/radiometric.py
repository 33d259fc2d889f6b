"""What thermal cameras keep inside their pictures: the sensor's readings beside a rendering.

A radiometric JPEG is a rendering in false colours to look at, with the readings in segments that
viewers skip. `docs/media.md` has the table of cameras.

- FLIR: APP1 `FLIR`, an FFF file in pieces. Record 1 is counts of 16 bits, raw or as a PNG with its
  bytes swapped; record 32 has what makes kelvin of them. (ExifTool's tag tables of FLIR.) Read here
  rather than by flyr, which loses the last two entries of a directory and has no wheel; tests
  compare with it.
- DJI: APP3, counts of 16 bits without a head, in pieces. (ExifTool's tag tables of DJI.) Kelvin by
  dji-thermal-cli where it is installed.
- InfiRay: IRG, no JPEG: a head, a grey picture of 8 bits, temperatures of 16 bits. (infiray_irg)
"""

import io
import math
import struct
import warnings
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import image
from lb_jax.media.sensors import temperatures
from lb_jax.media.sensors.temperatures import Readings

SOI = b"\xff\xd8"
MAX_PIXELS = 1 << 24  # thermal sensors have up to 1280 x 1024
APP1, APP3, APP4, SCAN = 0xE1, 0xE3, 0xE4, 0xDA
BARE = {0x01, *range(0xD0, 0xDA)}  # markers without a length
FLIR, FFF = b"FLIR\0", (b"FFF\0", b"AFF\0")
RAW_DATA, CAMERA_INFO = 1, 32  # types of FFF records
PNG = b"\x89PNG"
IRG_HEADS = (b"\xca\xac", b"\xba\xab", b"\x04\xa0")
AGAIN = "copy the file from the camera again, or export its readings as a TIFF"


def read(file: BinaryIO, name: str) -> Readings | None:
    """The readings of a camera's file; None for any other file.

    Args:
      file: from its beginning, seekable; it is left anywhere.
      name: for errors.

    Raises:
      errors.DataError: the file has readings that cannot be used, or a library is lacking.
    """
    head = file.read(4)
    file.seek(0)
    if head in FFF:
        return _flir(file.read(), name)
    head = head[:2]
    if head in IRG_HEADS:
        return _irg(file.read(), name)
    if head != SOI:
        return None
    flir: dict[int, bytes] = {}
    dji = []
    size = None
    for marker, body in _segments(file):
        if marker == APP1 and body.startswith(FLIR) and len(body) > 8:
            flir[body[6]] = body[8:]
        elif marker == APP3:
            dji.append(body)
        elif 0xC0 <= marker <= 0xC2 and len(body) >= 5:
            size = struct.unpack_from(">HH", body, 1)  # height, width
    if flir:
        return _flir(b"".join(flir[number] for number in sorted(flir)), name)
    if dji and size:
        return _dji(b"".join(dji), size, file, name)
    return None


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment of a JPEG before its first scan."""
    file.seek(2)
    while len(head := file.read(2)) == 2 and head[0] == 0xFF:
        marker = head[1]
        if marker == 0xFF:  # a byte that fills
            file.seek(-1, io.SEEK_CUR)
            continue
        if marker in BARE:
            continue
        length = int.from_bytes(file.read(2), "big")
        if marker == SCAN or length < 2:
            return
        yield marker, file.read(length - 2)


def _flir(block: bytes, name: str) -> Readings | None:
    """An FFF file: a head, a directory of records, the records."""
    try:
        records = _records(block)
        if RAW_DATA not in records:  # saved again by an editor, or not radiometric
            return None
        raw, camera = _flir_raw(records[RAW_DATA]), records.get(CAMERA_INFO, b"")
        kelvin = _planck(raw, _camera(camera)) if len(camera) >= CAMERA_BYTES else None
    except image.PILLOW_ERRORS as error:
        raise errors.DataError(
            name, f"has a FLIR block whose readings cannot be read ({error!r}); {AGAIN}"
        ) from error
    return Readings(raw, temperatures.COUNTS) if kelvin is None else Readings(kelvin, "kelvin")


def _records(block: bytes) -> dict[int, bytes]:
    """Record type -> its content; of several the first."""
    if block[:4] not in FFF:
        raise ValueError(f"it begins with {block[:4]!r}, expected FFF")
    for order in (">", "<"):
        version, place, count = struct.unpack_from(f"{order}III", block, 20)
        if 100 <= version < 200:
            break
    else:
        raise ValueError(f"its version is {version}, expected 100 to 199")
    found: dict[int, bytes] = {}
    for entry in range(place, min(place + 32 * count, len(block) - 31), 32):
        kind, _, _, _, start, length = struct.unpack_from(f"{order}HHIIII", block, entry)
        if kind and length:
            found.setdefault(kind, block[start : start + length])
    return found


def _flir_raw(record: bytes) -> np.ndarray:
    """Counts [h, w] of a record of raw data: a head of 32 bytes, and samples or a PNG."""
    order = "<" if record[:2] == b"\2\0" else ">"
    width, height = struct.unpack_from(f"{order}HH", record, 2)
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"its size is {width}x{height}")
    if record[32:36] != PNG:
        samples = np.frombuffer(record, f"{order}u2", width * height, 32)
        return samples.reshape(height, width).astype(np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = Image.open(io.BytesIO(record[32:]), formats=["PNG"])
    if picture.size != (width, height) or not picture.mode.startswith("I;16"):
        raise ValueError(f"its PNG is {picture.mode} of {picture.size}")
    # the camera writes the samples as they lie in its memory, PNG has the high byte first
    return np.asarray(picture).astype(np.uint16).byteswap()


# Fields of record 32: place and format, see ExifTool's FLIR CameraInfo. Temperatures in kelvin.
CAMERA = {
    "emissivity": (32, "f"),
    "distance": (36, "f"),
    "reflected": (40, "f"),
    "air": (44, "f"),
    "window": (48, "f"),
    "window_transmission": (52, "f"),
    "humidity": (60, "f"),
    "R1": (88, "f"),
    "B": (92, "f"),
    "F": (96, "f"),
    "alpha1": (112, "f"),
    "alpha2": (116, "f"),
    "beta1": (120, "f"),
    "beta2": (124, "f"),
    "X": (128, "f"),
    "O": (776, "i"),
    "R2": (780, "f"),
}
CAMERA_BYTES = 784


def _camera(record: bytes) -> dict[str, float]:
    order = "<" if record[:2] == b"\2\0" else ">"
    return {
        name: struct.unpack_from(f"{order}{form}", record, place)[0]
        for name, (place, form) in CAMERA.items()
    }


def _planck(raw: np.ndarray, camera: Mapping[str, float]) -> np.ndarray | None:
    """Temperature of what the camera looked at, float64 [h, w] in kelvin.

    The radiation that arrives is what the object gives off, what it reflects, and what the air and
    the camera's window add and take (Minkina and Dudzik, Infrared Thermography, 2009; the same
    model as Thermimage's raw2temp). None where the constants are none.
    """
    c = camera
    if not (c["R1"] > 0 and c["B"] > 0 and c["R2"] > 0 and 0 < c["emissivity"] <= 1):
        return None

    def given_off(kelvin: float) -> float:
        return c["R1"] / (c["R2"] * (math.exp(c["B"] / kelvin) - c["F"])) - c["O"]

    def at(name: str) -> float:  # a temperature that is not filled in is 20 degrees Celsius
        return c[name] if 173 < c[name] < 773 else 293.15

    # over the whole way; Thermimage and flyr take it twice over half of it, 0.03 K apart at a metre
    through = _air_transmission(c, at("air"))
    window = c["window_transmission"] if 0 < c["window_transmission"] <= 1 else 1.0
    emissivity = c["emissivity"]
    share = emissivity * through * window
    added = (
        (1 - emissivity) * through * window * given_off(at("reflected"))
        + (1 - through) * window * given_off(at("air"))
        + (1 - window) * given_off(at("window"))
    )
    arrived = (raw.astype(np.float64) - added) / share
    with np.errstate(divide="ignore", invalid="ignore"):
        return c["B"] / np.log(c["R1"] / (c["R2"] * (arrived + c["O"])) + c["F"])


def _air_transmission(camera: Mapping[str, float], air_k: float) -> float:
    """Share of the radiation that the air lets through; 1 where its constants are none."""
    c, celsius = camera, air_k - temperatures.ZERO_CELSIUS_K
    water = c["humidity"] * math.exp(
        1.5587 + 0.06939 * celsius - 0.00027816 * celsius**2 + 0.00000068455 * celsius**3
    )
    if not (water > 0 and c["distance"] > 0 and 1 <= c["X"] <= 3):
        return 1.0
    root, far = math.sqrt(water), -math.sqrt(c["distance"])
    first = c["X"] * math.exp(far * (c["alpha1"] + c["beta1"] * root))
    second = (1 - c["X"]) * math.exp(far * (c["alpha2"] + c["beta2"] * root))
    return first + second if 0 < first + second <= 1 else 1.0


def _dji(block: bytes, size: tuple[int, int], file: BinaryIO, name: str) -> Readings | None:
    """Counts of a sensor of the picture's shape, which may be shown larger."""
    height, width = size
    count, rest = divmod(len(block), 2)
    columns = math.isqrt(count * width // height) if height else 0
    if rest or not 0 < count <= MAX_PIXELS or not columns:
        return None
    for across in (width, columns, columns + 1):
        down, left = divmod(count, across)
        if not left and abs(across * height - down * width) <= max(width, height):
            samples = np.frombuffer(block, "<u2").reshape(down, across)
            measured = _dji_celsius(file, name)
            return Readings(samples, temperatures.COUNTS) if measured is None else measured
    return None


def _dji_celsius(file: BinaryIO, name: str) -> Readings | None:
    """Temperatures by dji-thermal-cli (Python 3.12 on), if it is there and knows the camera."""
    try:
        from dji_thermal_cli import tsdk
    except ImportError:
        return None
    file.seek(0)
    try:
        celsius = tsdk.open(file.read()).measure_temperature_c()
    except Exception as error:  # a camera that it does not know is told in many ways
        reason = f"dji-thermal-cli gives no temperatures ({error!r}); the sensor's counts are taken"
        warnings.warn(errors.DataWarning(name, " ".join(reason.split())), stacklevel=4)
        return None
    return Readings(celsius, "celsius")


def _irg(content: bytes, name: str) -> Readings:
    try:
        import infiray_irg
    except ImportError as error:
        raise errors.DataError(
            name,
            "is an InfiRay IRG file, which the library infiray_irg reads; install it with "
            "`pip install 'lb_jax[sensors]'`",
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the file names two zero points
            _, celsius, _ = infiray_irg.load(content)
    except image.PILLOW_ERRORS as error:
        raise errors.DataError(
            name, f"is no InfiRay IRG file that can be read ({error}); {AGAIN}"
        ) from error
    return Readings(celsius, "celsius")

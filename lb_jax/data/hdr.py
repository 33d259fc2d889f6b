"""HDR and wide gamuts to sRGB: what a screen of ordinary range shows of such a frame.

White of HDR is 203 cd/m2, the level of graphics and of a white sheet (ITU-R BT.2408, table 1); it
becomes the white of sRGB. Below it the light stays in proportion, without a tone curve; brighter
lights are white, and colours outside of sRGB are cut at its edge.
"""

import functools
from collections.abc import Callable

import av
import numpy as np

WHITE_NITS = 203.0
HLG_PEAK_NITS = 1000.0  # of the nominal display of BT.2100
HLG_GAMMA = 1.2  # its system gamma

CODES = 1024  # frames are taken at 10 bits
LEVELS = 1 << 14  # of linear light; a step at black is a fifth of a step of 8-bit sRGB
STRIP = 1 << 16  # pixels worked on at a time, so that they stay in the cache

# Numbers of ITU-T H.273, tables 2 and 3.
PQ, HLG = 16, 18
BT709, BT2020, P3_D65, UNKNOWN = 1, 9, 12, 2

# Chromaticities x, y of red, green and blue; the white of all is D65.
D65 = (0.3127, 0.3290)
CHROMATICITIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3_D65: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
BT2020_LUMINANCE = (0.2627, 0.6780, 0.0593)


def to_srgb(frame: av.VideoFrame) -> np.ndarray | None:
    """Maps a frame in PQ, HLG or a wide gamut to sRGB.

    Args:
      frame: a decoded frame; transfer and primaries are those that it states. HDR without stated
        primaries has those of BT.2020.

    Returns:
      uint8 [h, w, 3]; None where there is nothing to map, as in almost all films.

    Raises:
      av.error.FFmpegError, ValueError: a pixel format without a form in RGB.
    """
    transfer, primaries = frame.color_trc, frame.color_primaries
    if transfer in (PQ, HLG) and primaries in (0, UNKNOWN):
        primaries = BT2020
    if transfer not in (PQ, HLG) and primaries not in (BT2020, P3_D65):
        return None
    green, blue, red = map(_plane, frame.reformat(format="gbrp10le").planes)
    return map_to_srgb(red, green, blue, transfer, primaries)


def map_to_srgb(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, transfer: int, primaries: int
) -> np.ndarray:
    """Maps code values to sRGB.

    Args:
      red, green, blue: uint16 [h, w], full range of 10 bits.
      transfer: PQ, HLG, or any other for curves like that of sRGB.
      primaries: a key of `CHROMATICITIES`; others are left as they are.

    Returns:
      uint8 [h, w, 3].
    """
    light, encode = _light(transfer), _encoded()
    mixed = _mixture(primaries)
    out = np.empty((*red.shape, 3), np.uint8)
    rows = max(1, STRIP // red.shape[1])
    for top in range(0, len(red), rows):
        strip = slice(top, top + rows)
        channels = [light.take(plane[strip]) for plane in (red, green, blue)]
        if transfer == HLG:
            channels = _displayed(channels)
        for c, weights in enumerate(mixed):
            linear = sum(w * channel for w, channel in zip(weights, channels, strict=True))
            level = np.clip(linear, 0, 1) * np.float32(LEVELS - 1) + np.float32(0.5)
            out[strip, :, c] = encode.take(level.astype(np.uint16))
    return out


def pq_light(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, equation 4.1: signal 0..1 -> light, 1 is `WHITE_NITS`."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(signal, np.float64) ** (1 / m2)
    return 10000 / WHITE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(signal: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, table 5, inverse OETF: signal 0..1 -> light of the scene, 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def srgb_light(signal: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: signal 0..1 -> light 0..1."""
    signal = np.asarray(signal, np.float64)
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def srgb_signal(light: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_light`."""
    light = np.asarray(light, np.float64)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_LIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {PQ: pq_light, HLG: hlg_light}


@functools.cache
def _light(transfer: int) -> np.ndarray:
    """Code value -> light, float32 [CODES]."""
    signal = np.arange(CODES) / (CODES - 1)
    return _LIGHT.get(transfer, srgb_light)(signal).astype(np.float32)


@functools.cache
def _encoded() -> np.ndarray:
    """Level of light -> code value of sRGB, uint8 [LEVELS]."""
    return np.rint(255 * srgb_signal(np.arange(LEVELS) / (LEVELS - 1))).astype(np.uint8)


@functools.cache
def _system_gamma() -> np.ndarray:
    """Level of the scene's luminance -> what HLG's display multiplies its light by, float32."""
    luminance = np.arange(LEVELS) / (LEVELS - 1)
    factors = HLG_PEAK_NITS / WHITE_NITS * luminance ** (HLG_GAMMA - 1)
    return factors.astype(np.float32)


def _displayed(channels: list[np.ndarray]) -> list[np.ndarray]:
    """The light that HLG's nominal display makes of that of the scene (BT.2100, table 5, OOTF)."""
    weights = np.float32(BT2020_LUMINANCE)
    luminance = sum(w * channel for w, channel in zip(weights, channels, strict=True))
    level = np.clip(luminance, 0, 1) * np.float32(LEVELS - 1) + np.float32(0.5)
    factor = _system_gamma().take(level.astype(np.uint16))
    return [channel * factor for channel in channels]


@functools.cache
def _mixture(primaries: int) -> np.ndarray:
    """Linear RGB of some primaries -> that of BT.709 and sRGB, float32 [3, 3]."""
    if primaries not in CHROMATICITIES:
        return np.eye(3, dtype=np.float32)
    return (np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries)).astype(np.float32)


def _to_xyz(primaries: int) -> np.ndarray:
    """Linear RGB -> CIE XYZ, float64 [3, 3]: columns scaled so that their sum is the white."""
    columns, white = (
        np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in points]).T
        for points in (CHROMATICITIES[primaries], (D65,))
    )
    return columns * np.linalg.solve(columns, white[:, 0])


def _plane(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """The codes of a plane of 16-bit words, uint16 [h, w], without its padding."""
    words = np.frombuffer(plane, np.uint16).reshape(plane.height, plane.line_size // 2)
    return words[:, : plane.width]

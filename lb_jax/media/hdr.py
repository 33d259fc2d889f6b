"""HDR and wide gamuts to sRGB: what a screen of ordinary range shows of such a frame.

White of HDR is 203 cd/m2, the level of graphics and of a white sheet (ITU-R BT.2408, table 1); it
becomes the white of sRGB. Below it the light stays in proportion, without a tone curve; brighter
lights are white, and colours outside of sRGB are cut at its edge.
"""

import functools
from collections.abc import Callable, Sequence

import av
import numpy as np

WHITE_NITS = 203.0
HLG_PEAK_NITS = 1000.0  # of the nominal display of BT.2100
HLG_GAMMA = 1.2  # its system gamma

CODES = 1 << 12  # levels of the signal; frames have 10 bits, some 12
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
# Number of the matrix (table 4) -> weight of red and of blue in the luma.
LUMA = {
    1: (0.2126, 0.0722),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),  # BT.2020's, which has the same number as primaries
}
FULL_RANGE = 2  # as FFmpeg numbers it
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
    planes, coding = _planes(frame, primaries)
    return map_to_srgb(planes, coding, transfer, primaries)


def map_to_srgb(
    planes: Sequence[np.ndarray], coding: np.ndarray, transfer: int, primaries: int
) -> np.ndarray:
    """Maps code values to sRGB.

    Args:
      planes: three of uint8 or uint16 [h, w].
      coding: float32 [3, 4]; times the codes and 1 it gives the signals of red, green and blue,
        0 to 1.
      transfer: PQ, HLG, or any other for curves like that of sRGB.
      primaries: a key of `CHROMATICITIES`; others are left as they are.

    Returns:
      uint8 [h, w, 3].
    """
    light, encode = _light(transfer), _encoded()
    mixed = _mixture(primaries)
    height, width = planes[0].shape
    out = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = slice(top, top + rows)
        codes = [plane[strip].astype(np.float32) for plane in planes]
        channels = [
            light.take(_level(_mix(weights, codes) + weights[3], CODES)) for weights in coding
        ]
        if transfer == HLG:
            channels = _displayed(channels)
        for c, weights in enumerate(mixed):
            out[strip, :, c] = encode.take(_level(_mix(weights, channels), LEVELS))
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
    luminance = _mix(np.float32(BT2020_LUMINANCE), channels)
    factor = _system_gamma().take(_level(luminance, LEVELS))
    return [channel * factor for channel in channels]


def _mix(weights: np.ndarray, channels: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of three channels times the first three weights; those that are 0 cost nothing."""
    mixed = np.zeros((), np.float32)
    for weight, channel in zip(weights, channels, strict=False):
        if weight:
            mixed = mixed + weight * channel
    return mixed


def _level(values: np.ndarray, levels: int) -> np.ndarray:
    """The nearest of some levels from 0 to 1, uint16; what lies outside is cut."""
    scaled = np.clip(values, 0, 1) * np.float32(levels - 1) + np.float32(0.5)
    return scaled.astype(np.uint16)


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


def _planes(frame: av.VideoFrame, primaries: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The codes of a frame at full size in three planes, and what makes signals of them.

    libswscale only enlarges chroma here: the RGB that it makes of codes of the video range falls
    short of white by 0.4 %, a few percent of light in PQ.
    """
    bits = frame.format.components[0].bits
    if frame.format.is_rgb or len(frame.format.components) < 3:
        whole = frame.reformat(format="gbrp10le")
        green, blue, red = (_codes(plane, np.uint16) for plane in whole.planes)
        return [red, green, blue], np.eye(3, 4, dtype=np.float32) / np.float32(1023)
    layout = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le"}.get(bits, "yuv444p16le")
    bits = bits if bits in (8, 10, 12) else 16
    whole = frame.reformat(format=layout, dst_color_range=frame.color_range)
    codes = [_codes(plane, np.uint8 if bits == 8 else np.uint16) for plane in whole.planes]
    is_full = frame.color_range == FULL_RANGE
    return codes, _coding(frame.colorspace, primaries, bits, is_full)


@functools.cache
def _coding(space: int, primaries: int, bits: int, is_full: bool) -> np.ndarray:
    """Codes of Y'CbCr -> signals of R'G'B', float32 [3, 4] (ITU-T H.273, equations 20 to 48)."""
    if space in (UNKNOWN, 3):
        space = BT2020 if primaries == BT2020 else BT709
    if space not in LUMA:
        raise ValueError(f"its colours are coded by matrix {space}")
    red, blue = LUMA[space]
    green = 1 - red - blue
    to_rgb = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    step, top = 1 << bits - 8, (1 << bits) - 1
    scale = np.array([top] * 3 if is_full else [219 * step, 224 * step, 224 * step])
    zero = np.array([0 if is_full else 16 * step, 128 * step, 128 * step])
    weights = to_rgb / scale
    return np.column_stack([weights, -weights @ zero]).astype(np.float32)


def _codes(plane: av.video.plane.VideoPlane, word: type[np.generic]) -> np.ndarray:
    """The codes of a plane, [h, w], without its padding."""
    words = np.frombuffer(plane, word).reshape(plane.height, -1)
    return words[:, : plane.width]

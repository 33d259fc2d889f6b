"""How the frames of a film are shown: upright, at their displayed shape, in the colours of sRGB.

A file says so beside its coded frames. What players do is the rule; the preset `reference` turns
frames upright and does nothing else, as the original did.
"""

import dataclasses
import math
import types
import warnings
from collections.abc import Iterable, Iterator

import av
import av.error
import cv2
import numpy as np
from av.sidedata import sidedata

from lb_jax.core import errors
from lb_jax.media import hdr, tracks

# Wider and narrower pixels than this are damage: those of real files lie within 1:4 and 4:1.
MAX_PIXEL_ASPECT = 8.0
# Up to this far from square is what encoders round sizes by (1280x718 of 2872:2877).
ROUNDED = 0.01
# The largest picture of H.264's, HEVC's and AV1's levels up to 6.2: 8192 x 4352, and 8K with it. A
# clip holds eight of them, so this is less than what a single picture may have.
MAX_PIXELS = 35_651_584
# Codecs of films, which also know black and white of 10 bits. In any other one, grey of more than 8
# bits is a measurement.
FILM_CODECS = ("h264", "hevc", "vvc", "av1", "vp9", "libdav1d", "prores")


def _nameless(kind: type[sidedata.Type], number: object) -> sidedata.Type:
    """A member for side data that PyAV has no name for.

    PyAV 18 raises for a whole frame where FFmpeg 8 put such data beside it: EXIF of MJPEG and TIFF,
    views of stereoscopic HEVC.
    """
    member = object.__new__(kind)
    member._name_, member._value_ = f"NUMBER_{number}", number
    return member


sidedata.Type._missing_ = types.MethodType(_nameless, sidedata.Type)


@dataclasses.dataclass
class Display:
    """How to show the frames of one track.

    Frames go through `watched` in the order of decoding; those wanted then through `show`.

    Attributes:
      name: how errors call the file.
      pixel_aspect: width of a stored pixel divided by its height; 1 leaves the grid as it is.
      colour: "srgb" maps HDR and wide gamuts to it, "stored" takes the numbers as they are.
      grey_bits: grey of more bits is not taken for a picture.
      matrix: the display matrix in force, see `matrix`.
    """

    name: str
    pixel_aspect: float = 1.0
    colour: str = "srgb"
    grey_bits: int = 8
    matrix: np.ndarray | None = None

    @classmethod
    def of(cls, track: tracks.Track, pixel_aspect: str, colour: str) -> "Display":
        """Reads what a track says of its pixels.

        Args:
          track: an opened video track.
          pixel_aspect: "square" scales pixels that are not, "stored" leaves the grid as it is.
          colour: see the attribute.
        """
        is_film = track.stream.codec_context.name in FILM_CODECS
        shape = _pixel_aspect(track) if pixel_aspect == "square" else 1.0
        return cls(track.name, shape, colour, 10 if is_film else 8)

    def watched(self, frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Passes frames on and keeps their matrix in force.

        That of a container stands at every frame; what H.264 and HEVC say stands at keyframes and
        holds up to the next one (ITU-T H.264, D.2.27).
        """
        for frame in frames:
            found = matrix(frame)
            if found is not None or frame.key_frame:
                self.matrix = found
            yield frame

    def show(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns a decoded frame as it is shown, uint8 [h, w, 3].

        Raises:
          errors.DataError: too large, 16-bit grey, or in a format without a form in RGB.
        """
        self.require_size(frame)
        self._require_picture(frame)
        try:
            rgb = hdr.to_srgb(frame) if self.colour == "srgb" else None
            rgb = frame.to_ndarray(format="rgb24") if rgb is None else rgb
        except (av.error.FFmpegError, ValueError) as e:  # pixel formats without a conversion
            raise errors.DataError(
                self.name, f"has frames of format {frame.format.name} ({e}); convert it to yuv420p"
            ) from e
        return self.upright(_squared(rgb, self.pixel_aspect))

    def upright(self, stored: np.ndarray) -> np.ndarray:
        """Turns and mirrors an array [h, w, ...] of the last frame watched."""
        return upright(stored, self.matrix)

    def require_size(self, frame: av.VideoFrame) -> None:
        """Raises DataError for a frame that would take too much memory."""
        height, width = _squared_size(frame.height, frame.width, self.pixel_aspect)
        if width * height > MAX_PIXELS:
            raise errors.DataError(
                self.name,
                f"has frames of {width}x{height} pixels, more than {MAX_PIXELS / 1e6:.0f} "
                "megapixels; shrink it first",
            )

    def _require_picture(self, frame: av.VideoFrame) -> None:
        bits = tracks.grey_bits(frame.format)
        if bits > self.grey_bits:
            raise errors.DataError(
                self.name,
                f"holds {bits}-bit grey ({frame.format.name}), which is depth or another "
                "measurement: a picture of 8 bits would lose most of it; embed it as depth, or "
                "convert it to 8-bit grey with a range of your own",
            )


def matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Returns the display matrix of a frame, float64 [3, 3]; None where the file has none.

    A stored point (x, y, 1) times it is the point shown: x' = a x + c y + tx, y' = b x + d y + ty
    (ISO/IEC 14496-12, 8.3.2). FFmpeg brings what Matroska, H.264 and HEVC say into this form. The
    angle alone does not tell a mirror.
    """
    found = frame.side_data.get(sidedata.Type.DISPLAYMATRIX)
    if found is None:
        return None
    fixed = np.frombuffer(bytes(found), np.int32).reshape(3, 3)
    return fixed / np.array([1 << 16, 1 << 16, 1 << 30])


def upright(stored: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors a picture [h, w, ...] as a display matrix says.

    Of the eight ways to lay a grid on itself, the one nearest to the matrix (by the sum of squares)
    is taken: other angles are rounded to a quarter turn, scaling and shear are left out. Where the
    two scales differ, FFmpeg tells them as the pixels' shape.

    Args:
      stored: the picture.
      matrix: as `matrix` returns it; None leaves the picture as it is.
    """
    if matrix is None:
        return stored
    (a, b), (c, d) = matrix[:2, :2]
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    shown = stored.swapaxes(0, 1) if is_transposed else stored
    to_x, to_y = (c, b) if is_transposed else (a, d)
    shown = shown[:, ::-1] if to_x < 0 else shown
    shown = shown[::-1] if to_y < 0 else shown
    return np.ascontiguousarray(shown)


def _pixel_aspect(track: tracks.Track) -> float:
    """Width of a track's pixels by their height; 1 where it does not say, or cannot be meant."""
    if not isinstance(track.stream, av.VideoStream):
        return 1.0
    stated = track.stream.sample_aspect_ratio  # the container's, else the codec's
    if not stated:
        return 1.0
    wide, high = int(stated.numerator), int(stated.denominator)
    if wide <= 0 or high <= 0:
        return 1.0
    if abs(math.log(wide / high)) > math.log(MAX_PIXEL_ASPECT):
        reason = (
            f"states pixels of {wide}:{high}, beyond 1:{MAX_PIXEL_ASPECT:g}; they are taken as "
            "square. Mend the header if they are not"
        )
        warnings.warn(errors.DataWarning(track.name, reason), stacklevel=2)
        return 1.0
    return 1.0 if abs(wide / high - 1) < ROUNDED else wide / high


def _squared(rgb: np.ndarray, pixel_aspect: float) -> np.ndarray:
    """Enlarges the side along which pixels are longer, so that they are square and none is lost."""
    if pixel_aspect == 1:
        return rgb
    height, width = _squared_size(rgb.shape[0], rgb.shape[1], pixel_aspect)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)


def _squared_size(height: int, width: int, pixel_aspect: float) -> tuple[int, int]:
    """Height and width in square pixels; the longer side of a pixel is made more."""
    if pixel_aspect > 1:
        return height, round(width * pixel_aspect)
    return round(height / pixel_aspect), width

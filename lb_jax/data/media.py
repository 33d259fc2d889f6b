"""What a caller may hand in as media, and how its bytes are reached.

Damage to a container becomes an error here instead of a shorter clip later.
"""

import contextlib
import dataclasses
import fractions
import io
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import av.logging
import numpy as np
from PIL import Image

from lb_jax.core import errors

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray
# Samples with their rate are a sound, a sequence of pictures is a clip.
Media = Picture | tuple[np.ndarray, int] | Sequence[Picture]

AGAIN = "download or export it again"

# FFmpeg may follow references inside a file (playlists, external tracks); nothing outside the given
# bytes is read.
_AV_OPTIONS = {"protocol_whitelist": "none"}
# Demuxers that would turn still pictures and plain text into a clip.
_NO_CLIP = ("_pipe", "image2", "tty")
# RIFF sizes from here on mean "unknown": what programs write into the header while they stream.
_RIFF_UNKNOWN = 0x7FFF_F000

av.logging.set_level(None)  # FFmpeg's remarks never reach stderr


def describe(media: object) -> str:
    """Returns how errors name the media: the path, or what kind of object it is."""
    match media:
        case str() | os.PathLike():
            return str(media)
        case bytes():
            return f"<{len(media)} bytes>"
        case Image.Image():
            return f"<PIL image {media.mode} {media.width}x{media.height}>"
        case np.ndarray():
            return f"<array {media.dtype} {list(media.shape)}>"
        case (np.ndarray() as samples, rate):
            return f"<array {samples.dtype} {list(samples.shape)} at {rate!r} Hz>"
        case list() | tuple() if media:
            return f"<{len(media)} items, the first {describe(media[0])}>"
        case _:
            return f"<{type(media).__name__}>"


def unusable(media: object, accepted: str) -> errors.DataError:
    """Returns the error for media of a type, dtype or shape that a modality does not take."""
    return errors.DataError(
        describe(media), f"cannot be used here; accepted are a path, bytes, {accepted}"
    )


def window(start_s: float, end_s: float | None) -> str:
    """Returns how errors name a stretch of a file, in seconds; None is its end."""
    return f"from {start_s:g} s to {'its end' if end_s is None else f'{end_s:g} s'}"


@contextlib.contextmanager
def stream(media: object, accepted: str) -> Iterator[BinaryIO]:
    """Opens a path or bytes as a seekable binary stream, after checking the container is whole.

    Args:
      media: a path or the bytes of a file.
      accepted: what else the modality takes, for the error about other objects.

    Raises:
      errors.DataError: neither path nor bytes, no such file, not a regular file, empty, unreadable,
        or cut off.
    """
    name = describe(media)
    match media:
        case bytes():
            opened = io.BytesIO(media)
        case str() | os.PathLike():
            opened = _open_file(Path(media))
        case _:
            raise unusable(media, accepted)
    with opened as file, _disk_errors(file, name):
        held, promised = file.seek(0, io.SEEK_END), promised_size(file)
        if held == 0:
            raise errors.DataError(name, f"is empty; {AGAIN}")
        if promised > held:
            raise errors.DataError(
                name,
                f"is cut off: its container promises {promised} bytes, {held} are there; {AGAIN}",
            )
        file.seek(0)
        yield file


def promised_size(file: BinaryIO) -> int:
    """Returns where a container says its last structure ends, 0 for formats that do not say.

    Decoders shorten a cut file without a word; comparing this with the real size finds the cut.
    Knows WAV, AVI, AIFF, MP4 and MOV, Matroska and WebM, Ogg, MP3, GIF and MPEG-TS. An MP3 without
    a table of contents and an MPEG-TS file only tell that their last frame or packet is not whole.
    """
    file.seek(0)
    head = file.read(12)
    for matches, end in _PROMISES:
        if matches(head):
            return end(file)
    return 0


@dataclasses.dataclass(frozen=True)
class Packet:
    """What a container says about one coded frame; PyAV's packets have the same attributes.

    Attributes:
      pts: presentation time in the stream's time base, None if the container does not say.
      is_keyframe: whether decoding can start here.
    """

    pts: int | None
    is_keyframe: bool


@dataclasses.dataclass(frozen=True)
class Track:
    """The first stream of a kind in an opened container.

    Attributes:
      name: how errors call the file.
      container: where it is read from; reading goes on where it last ended.
      stream: which one.
    """

    name: str
    container: av.container.InputContainer
    stream: av.stream.Stream

    def packets(self) -> Iterator[av.Packet]:
        """Reads coded frames in the order of the file; the last packet is empty.

        Raises:
          errors.DataError: damaged or cut off.
        """
        count = 0
        try:
            for packet in self.container.demux(self.stream):
                _refuse(self.name, packet.is_corrupt, f"is cut off or damaged at packet {count}")
                count += 1
                yield packet
        except (av.error.FFmpegError, ValueError) as e:
            raise errors.DataError(
                self.name, f"cannot be read beyond packet {count} ({_words(e)}); {AGAIN}"
            ) from e

    def decode(
        self,
        packets: Iterable[av.Packet],
        *,
        start: int | None = None,
        wanted: Set[int] | None = None,
    ) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """Decodes packets, one frame after the other.

        Args:
          packets: of this track, from a keyframe to the empty one.
          start: time of that keyframe, if it is not the first.
          wanted: times of frames. Frames of other times are left out if no frame is made of them;
            None wants all.

        Raises:
          errors.DataError: a frame is damaged.
        """
        context, count = self.stream.codec_context, 0
        try:
            for packet in packets:
                if wanted is not None:
                    context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                for frame in packet.decode():
                    # Frames that lean on what lies before the start cannot be whole, and nobody
                    # wants them.
                    leans_back = start is not None and frame.pts is not None and frame.pts < start
                    _refuse(
                        self.name,
                        frame.is_corrupt and not leans_back,
                        f"is damaged at frame {count}",
                    )
                    count += 1
                    yield frame
        except (av.error.FFmpegError, ValueError) as e:
            raise errors.DataError(
                self.name, f"cannot be decoded beyond frame {count} ({_words(e)}); {AGAIN}"
            ) from e


def packets(file: BinaryIO, name: str, kind: str) -> list[Packet]:
    """Lists the coded frames of the first stream of a kind without decoding or keeping them.

    Frame counts in headers often say 0.

    Args:
      file: seekable stream of the container.
      name: how errors call it.
      kind: "video" or "audio".

    Raises:
      errors.DataError: not such a container, no such stream, damaged or cut off.
    """
    with open_track(file, name, kind) as track:
        return [Packet(p.pts, p.is_keyframe) for p in track.packets() if is_shown(p)]


def is_shown(packet: av.Packet) -> bool:
    """Tells frames from the empty last packet and from what an edit list cuts away."""
    return bool(packet.size) and not packet.is_discard


def frames(
    file: BinaryIO, name: str, kind: str, start: int | None = None
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decodes the first stream of a kind, one frame after the other.

    Args:
      file: seekable stream of the container.
      name: how errors call it.
      kind: "video" or "audio".
      start: time of the keyframe to start from; None starts at the beginning.

    Raises:
      errors.DataError: as `packets`, or a frame is damaged.
    """
    with open_track(file, name, kind) as track:
        if start is not None:
            try:
                track.container.seek(start, stream=track.stream)
            except (av.error.FFmpegError, ValueError) as e:
                raise errors.DataError(
                    name, f"cannot be read from {start} on ({_words(e)}); {AGAIN}"
                ) from e
        yield from track.decode(track.packets(), start=start)


def fraction(number: numbers.Rational | None) -> fractions.Fraction | None:
    """A rate, time base or shape of a pixel as a plain number; None where nothing is said.

    PyAV has a type of its own for them from 19 on, which lacks most arithmetic. FFmpeg writes
    "unknown" as 0/1 or 0/0.
    """
    if number is None or not number.numerator or not number.denominator:
        return None
    return fractions.Fraction(number.numerator, number.denominator)


def duration_s(media: object, kind: str) -> float | None:
    """Seconds that the first track of a kind lasts, by its container; None where it does not say.

    Raises:
      errors.DataError: as `packets`.
    """
    name = describe(media)
    with stream(media, "nothing else") as file, open_track(file, name, kind) as track:
        if track.stream.duration is not None:
            return float(track.stream.duration * fraction(track.stream.time_base))
        whole = track.container.duration  # in microseconds
        return None if whole is None else whole / av.time_base


class _Watched(io.FileIO):
    """A file that remembers that reading it failed, whatever a decoder makes of it.

    Attributes:
      failure: the last error; None while there is none.
    """

    failure: OSError | None = None

    def readinto(self, buffer: memoryview) -> int | None:
        with self._watching():
            return super().readinto(buffer)

    def readall(self) -> bytes | None:
        with self._watching():
            return super().readall()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            self.failure = e
            raise


@contextlib.contextmanager
def _disk_errors(file: BinaryIO, name: str) -> Iterator[None]:
    """Tells a disk that fails, or a file that cannot seek, from a file that is damaged."""
    raw = getattr(file, "raw", None)
    try:
        yield
    except Exception as e:  # a decoder may make any error of a failed read; others pass as they are
        failure = getattr(raw, "failure", None) or (e if isinstance(e, OSError) else None)
        if failure is None or raw is None:
            raise
        raise _unread(name, failure) from failure
    if getattr(raw, "failure", None) is not None:  # a decoder took it for the end
        raise _unread(name, raw.failure) from raw.failure


def _unread(name: str, failure: OSError) -> errors.DataError:
    reason = failure.strerror or failure
    return errors.DataError(name, f"cannot be read ({reason}); mend its disk or copy it again")


def _open_file(path: Path) -> BinaryIO:
    try:
        if not path.exists():
            raise errors.DataError(path, "does not exist; give the path of a media file")
        if not path.is_file():
            raise errors.DataError(path, "is not a regular file; give the path of one media file")
        return io.BufferedReader(_Watched(path))
    except OSError as e:
        raise errors.DataError(
            path, f"cannot be opened ({e.strerror or e}); give the path of a readable media file"
        ) from e


def has_track(media: object, kind: str) -> bool:
    """Whether a container has a track of a kind, "video" or "audio", by its header.

    Raises:
      errors.DataError: no container that FFmpeg can read.
    """
    name = describe(media)
    with stream(media, "nothing else") as file, _opened(file, name, kind) as opened:
        return bool(_tracks(opened, kind))


@contextlib.contextmanager
def open_track(file: BinaryIO, name: str, kind: str) -> Iterator[Track]:
    """Opens a container at its beginning; for the arguments see `packets`.

    Raises:
      errors.DataError: not such a container, or no such stream.
    """
    with _opened(file, name, kind) as opened:
        tracks = _tracks(opened, kind)
        if not tracks:
            found = ", ".join(sorted({s.type for s in opened.streams})) or "nothing"
            raise errors.DataError(name, f"has no {kind} track (found: {found}), expected one")
        if tracks[0].codec_context is None:
            raise errors.DataError(
                name, f"has a {kind} track in a codec that this FFmpeg lacks; convert it"
            )
        # One thread: files are decoded beside each other, not faster one by one.
        tracks[0].codec_context.thread_count = 1
        yield Track(name, opened, tracks[0])


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str, kind: str) -> Iterator[av.container.InputContainer]:
    file.seek(0)
    try:
        opened = av.open(file, options=_AV_OPTIONS)
    except (av.error.FFmpegError, ValueError) as e:
        raise errors.DataError(
            name, f"is no {kind} file that FFmpeg can read ({_words(e)}); {AGAIN}"
        ) from e
    with opened:
        if opened.format.name.endswith(_NO_CLIP):
            raise errors.DataError(
                name, f"is a still picture or text ({opened.format.name}), expected {kind}"
            )
        yield opened


def _tracks(opened: av.container.InputContainer, kind: str) -> list[av.stream.Stream]:
    """Those of a kind, without covers of albums."""
    return [
        s
        for s in opened.streams
        if s.type == kind and not s.disposition & av.stream.Disposition.attached_pic
    ]


def _refuse(name: str, condition: bool, reason: str) -> None:
    if condition:
        raise errors.DataError(name, f"{reason}; {AGAIN}")


def _words(e: Exception) -> str:
    return getattr(e, "strerror", None) or str(e)


def _riff_end(file: BinaryIO, byteorder: str) -> int:
    """Walks the chunks to the samples: `data` of WAV, `SSND` of AIFF, the list `movi` of AVI."""
    offset, held = 12, file.seek(0, io.SEEK_END)
    while offset + 8 <= held:
        file.seek(offset)
        chunk, length, kind = file.read(4), int.from_bytes(file.read(4), byteorder), file.read(4)
        if chunk in (b"data", b"SSND") or (chunk, kind) == (b"LIST", b"movi"):
            return 0 if length >= _RIFF_UNKNOWN else offset + 8 + length
        offset += 8 + length + length % 2
    return offset


def _iso_end(file: BinaryIO) -> int:
    """Walks the top-level boxes to the last one.

    Size 1 means that a 64-bit size follows, 0 that the box runs to the end of the file. What has no
    type of four letters is no box, but something that was appended.
    """
    offset, held = 0, file.seek(0, io.SEEK_END)
    while offset + 8 <= held:
        file.seek(offset)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if not (kind.isascii() and kind.decode().isprintable()):
            return offset
        if length == 1:
            file.seek(offset + 8)
            length = int.from_bytes(file.read(8), "big")
        if length < 8:
            return offset
        offset += length
    return offset


def _matroska_end(file: BinaryIO) -> int:
    """Adds up the EBML header and the segment after it.

    All ones mean an unknown size, as in live recordings.
    """
    offset = 0
    for id_bytes in (4, 4):
        file.seek(offset + id_bytes)
        head = file.read(8)
        width = 9 - head[0].bit_length() if head and head[0] else 9
        if width > len(head):
            return 0
        size = int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
        if size == (1 << 7 * width) - 1:
            return 0
        offset += id_bytes + width + size
    return offset


def _ogg_end(file: BinaryIO) -> int:
    """Returns the end of the last page: 27 bytes of header, one size per segment, segments."""
    held = file.seek(0, io.SEEK_END)
    start = max(0, held - (1 << 17))  # a page has at most 65,307 bytes
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    segments = tail[page + 26] if page + 26 < len(tail) else 0
    return start + page + 27 + segments + sum(tail[page + 27 : page + 27 + segments])


def _mp3_end(file: BinaryIO) -> int:
    """Reads the byte count of the Xing or Info table.

    Encoders put it into the first frame, behind any ID3 tag.
    """
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum(
            (size & 127) << shift for size, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    file.seek(start)
    frame = file.read(64)
    table = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[:1] != b"\xff" or table < 0 or len(frame) < table + 16 or not frame[table + 7] & 2:
        return _mp3_frames_end(file, start)
    size_at = (
        table + 8 + 4 * (frame[table + 7] & 1)
    )  # behind the flags, and the frame count if there is one
    return start + int.from_bytes(frame[size_at : size_at + 4], "big")


def _mp3_frames_end(file: BinaryIO, offset: int) -> int:
    """Walks from frame to frame of MPEG audio layer III, to the first place where there is none.

    Header and lengths: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; 13818-3 for the lower rates.
    """
    file.seek(0)
    data = file.read()
    while offset + 4 <= len(data):
        head = int.from_bytes(data[offset : offset + 4], "big")
        version, layer = head >> 19 & 3, head >> 17 & 3
        bitrate, rate = head >> 12 & 15, head >> 10 & 3
        if head >> 21 != 0x7FF or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
            return offset
        kbits = _MP3_KBITS[version == 3][bitrate - 1]
        rate_hz = _MP3_RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
        offset += (144_000 if version == 3 else 72_000) * kbits // rate_hz + (head >> 9 & 1)
    return offset


_MP3_RATES_HZ = (44_100, 48_000, 32_000)  # of version 1; version 2 has half, 2.5 a quarter
_MP3_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _gif_end(file: BinaryIO) -> int:
    """Walks the blocks to the trailer; a colour table and data sub-blocks may follow a header.

    Layout: GIF89a specification, sections 15 to 27.
    """
    file.seek(0)
    data = file.read()

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    offset = 13 + (table(data[10]) if len(data) > 10 else 0)
    while offset < len(data):
        match data[offset]:
            case 0x21:  # extension: label, sub-blocks
                offset += 2
            case 0x2C if offset + 9 < len(data):  # image: place, flags, colour table, code size
                offset += 11 + table(data[offset + 9])
            case 0x3B:
                return offset + 1
            case _:
                return offset
        while offset < len(data) and data[offset]:
            offset += 1 + data[offset]
        offset += 1
    return offset + 1


def _mpegts_end(file: BinaryIO) -> int:
    """Rounds up to whole packets, if it is MPEG-TS: every packet begins with the same byte."""
    held = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4 + 3 * 208)
    for start, size in ((0, 188), (4, 192), (0, 204)):  # broadcast, disc, with error correction
        if {head[start + i * size : start + i * size + 1] for i in range(3)} == {b"G"}:
            return -(-held // size) * size
    return 0


_PROMISES: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], int]], ...] = (
    (
        lambda head: head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "),
        lambda file: _riff_end(file, "little"),
    ),
    (
        lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"),
        lambda file: _riff_end(file, "big"),
    ),
    (lambda head: head[:6] in (b"GIF87a", b"GIF89a"), _gif_end),
    (lambda head: head[:1] == b"G" or head[4:5] == b"G", _mpegts_end),
    (lambda head: head[4:8] in (b"ftyp", b"styp", b"moov"), _iso_end),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _matroska_end),
    (lambda head: head[:4] == b"OggS", _ogg_end),
    (
        lambda head: (
            head[:3] == b"ID3" or head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\xff\xf2")
        ),
        _mp3_end,
    ),
)

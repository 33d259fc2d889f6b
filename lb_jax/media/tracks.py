"""Tracks of a container: which one is read, its coded frames, and frames decoded by PyAV."""

import collections
import contextlib
import dataclasses
import fractions
import functools
import numbers
import operator
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from typing import BinaryIO

import av
import av.error
import av.logging

from lb_jax.core import errors
from lb_jax.media import given

# FFmpeg may follow references inside a file (playlists, external tracks); nothing outside the given
# bytes is read.
_AV_OPTIONS = {"protocol_whitelist": "none"}
# Demuxers that would turn still pictures and plain text into a clip.
_NO_CLIP = ("_pipe", "image2", "tty")

# Pictures that are no film.
_COVERS = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
# Tracks that nobody hears or sees who does not ask for them.
_SPECIAL = functools.reduce(
    operator.or_,
    (
        getattr(av.stream.Disposition, name)
        for name in (
            "comment",
            "lyrics",
            "karaoke",
            "hearing_impaired",
            "visual_impaired",
            "clean_effects",
            "descriptions",
            "dependent",
        )
    ),
)
_MILLISECOND = fractions.Fraction(1, 1000)

av.logging.set_level(None)  # FFmpeg's remarks never reach stderr


class NoContainer(errors.DataError):
    """What is asked for a track is nothing that FFmpeg knows."""


class StillPicture(errors.DataError):
    """What is asked for a track is a still picture, or text."""


@dataclasses.dataclass(frozen=True)
class Packet:
    """What a container says about one coded frame; PyAV's packets have the same attributes.

    Attributes:
      pts: presentation time in the stream's time base, None if the container does not say.
      is_keyframe: whether decoding can start here.
      duration: how long it is shown, in the same units; None or 0 if the container does not say.
    """

    pts: int | None
    is_keyframe: bool
    duration: int | None = None


@dataclasses.dataclass(frozen=True)
class Track:
    """The stream of a kind that is read of an opened container, by the rule of `open_track`.

    Attributes:
      name: how errors call the file.
      container: where it is read from; reading goes on where it last ended.
      stream: which one.
      zero_s: what the container calls the time at which the file begins to be shown, in seconds;
        None where that is the first frame or sample of this track.
      end: when the track ends by its header, in units of its time; None if that does not say.
    """

    name: str
    container: av.container.InputContainer
    stream: av.stream.Stream
    zero_s: fractions.Fraction | None = None
    end: int | None = None

    def packets(self) -> Iterator[av.Packet]:
        """Reads coded frames in the order of the file; the last packet is empty.

        Raises:
          errors.DataError: damaged or cut off.
        """
        count = 0
        with _refusing(self.name, lambda why: f"cannot be read beyond packet {count} ({why})"):
            for packet in self.container.demux(self.stream):
                _refuse(self.name, packet.is_corrupt, f"is cut off or damaged at packet {count}")
                count += 1
                yield packet

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
        with _refusing(self.name, lambda why: f"cannot be decoded beyond frame {count} ({why})"):
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


def packets(file: BinaryIO, name: str, kind: str) -> list[Packet]:
    """Lists the coded frames of the track of a kind without decoding or keeping them.

    Frame counts in headers often say 0.

    Args:
      file: seekable stream of the container.
      name: how errors call it.
      kind: "video" or "audio".

    Raises:
      errors.DataError: not such a container, no such stream, damaged or cut off.
    """
    with open_track(file, name, kind) as track:
        return [plain(p) for p in track.packets() if is_shown(p)]


def plain(packet: av.Packet) -> Packet:
    """What a packet says, without its bytes."""
    return Packet(packet.pts, packet.is_keyframe, packet.duration)


def is_shown(packet: av.Packet) -> bool:
    """Tells frames from the empty last packet and from what an edit list cuts away."""
    return bool(packet.size) and not packet.is_discard


def frames(
    file: BinaryIO, name: str, kind: str, start: int | None = None
) -> Generator[av.VideoFrame | av.AudioFrame, None, None]:
    """Decodes the track of a kind, one frame after the other.

    Args:
      file, name, kind: as `packets` takes them.
      start: time of the keyframe to start from; None starts at the beginning.

    Raises:
      errors.DataError: as `packets`, or a frame is damaged.
    """
    with open_track(file, name, kind) as track:
        if start is not None:
            with _refusing(name, lambda why: f"cannot be read from {start} on ({why})"):
                track.container.seek(start, stream=track.stream)
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
    """Seconds that the track of a kind lasts, by its container; None where it does not say.

    Raises:
      errors.DataError: as `packets`.
    """
    name = given.describe(media)
    with given.stream(media, "nothing else") as file, open_track(file, name, kind) as track:
        if track.stream.duration is not None:
            return float(track.stream.duration * fraction(track.stream.time_base))
        whole = track.container.duration  # in microseconds
        return None if whole is None else whole / av.time_base


def has_track(media: object, kind: str) -> bool:
    """Whether a container has a track of a kind, "video" or "audio", by its header.

    Raises:
      errors.DataError: no container that FFmpeg can read.
    """
    name = given.describe(media)
    with given.stream(media, "nothing else") as file, _opened(file, name, kind) as opened:
        return bool(tracks_of(opened, kind))


@contextlib.contextmanager
def open_track(file: BinaryIO, name: str, kind: str) -> Iterator[Track]:
    """Opens a container at its beginning; for the arguments see `packets`.

    Of several tracks of the kind that one is read which players show: of those that can be decoded
    the one flagged as default, else one that is not for special listeners or viewers, else the
    first. Covers are no track, nor is a single picture beside a track of more.

    Raises:
      errors.DataError: not such a container, or no such stream.
    """
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(_opened(file, name, kind))
        tracks = tracks_of(opened, kind)
        if not tracks:
            found = ", ".join(sorted({s.type for s in opened.streams})) or "nothing"
            raise errors.MissingError(
                name, f"has no {kind} track (found: {found}), expected {_TRACKS.get(kind, 'one')}"
            )
        if len(tracks) > 1:
            index = choose_track(opened, tracks)
            opened = stack.enter_context(_opened(file, name, kind))  # from its beginning again
            tracks = [opened.streams[index]]
        if tracks[0].codec_context is None:
            raise errors.DataError(
                name, f"has a {kind} track in a codec that this FFmpeg lacks; convert it"
            )
        # One thread: files are decoded beside each other, not faster one by one.
        tracks[0].codec_context.thread_count = 1
        yield Track(name, opened, tracks[0], _zero_s(opened, tracks[0]), _end(opened, tracks[0]))


def choose_track(opened: av.container.InputContainer, tracks: Sequence[av.stream.Stream]) -> int:
    """Number among all streams of the one of several of a kind that is read, as `open_track` says.

    Reads packets from where the container is, to its end where the best one is a single picture.
    """
    # Once each: PyAV 19.0 (FFmpeg 9.0) breaks where a decoder that did not open is opened again.
    opens = {s.index: _can_be_decoded(s) for s in tracks}
    ranked = sorted(tracks, key=lambda s: (not opens[s.index], *_preference(s)))
    decodable = [s for s in ranked if opens[s.index]]
    if ranked[0].type != "video" or len(decodable) < 2:
        return ranked[0].index
    seen = collections.Counter()
    try:
        for packet in opened.demux(decodable):
            seen[packet.stream_index] += bool(packet.size)
            if seen[ranked[0].index] > 1:
                break
    except (av.error.FFmpegError, ValueError):
        pass  # damage is told by reading the track that is chosen
    return next((s for s in decodable if seen[s.index] > 1), ranked[0]).index


def _can_be_decoded(stream: av.stream.Stream) -> bool:
    if stream.codec_context is None:
        return False
    try:
        stream.codec_context.open(strict=False)
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _preference(stream: av.stream.Stream) -> tuple[bool, bool, int]:
    """Less is better: flagged as default, for everybody, early in the file."""
    flags = av.stream.Disposition(stream.disposition)
    return not flags & av.stream.Disposition.default, bool(flags & _SPECIAL), stream.index


def _zero_s(
    opened: av.container.InputContainer, chosen: av.stream.Stream
) -> fractions.Fraction | None:
    """See `Track.zero_s`. Sound and pictures of a file are counted from the same moment.

    It is the start of the container, which FFmpeg gives in microseconds and the track that begins
    then exactly. What lies before 0 is the priming of a decoder, which is not played.
    """
    tracks = [*tracks_of(opened, "video"), *tracks_of(opened, "audio")]
    if opened.start_time is None or len(tracks) == 1:
        return None
    zero = fractions.Fraction(opened.start_time, av.time_base)
    starts = [_start_s(s) for s in [chosen, *tracks]]
    exact = [start for start in starts if start is not None and abs(start - zero) < _MILLISECOND]
    return max([*exact, zero][0], fractions.Fraction(0))


def _start_s(stream: av.stream.Stream) -> fractions.Fraction | None:
    unit_s = fraction(stream.time_base)
    return None if unit_s is None or stream.start_time is None else unit_s * stream.start_time


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str, kind: str) -> Iterator[av.container.InputContainer]:
    file.seek(0)
    told = f"is no {kind} file that FFmpeg can read"
    with _refusing(name, lambda why: f"{told} ({why})", NoContainer):
        opened = av.open(file, "r", options=_AV_OPTIONS)
    with opened:
        if opened.format.name.endswith(_NO_CLIP):
            raise StillPicture(
                name, f"is a still picture or text ({opened.format.name}), expected {kind}"
            )
        yield opened


def _end(opened: av.container.InputContainer, chosen: av.stream.Stream) -> int | None:
    """See `Track.end`. MP4 and MOV say it by their edit list (ISO/IEC 14496-12, 8.6.6)."""
    is_said = opened.format.name.startswith("mov,") and chosen.start_time is not None
    if not is_said or chosen.duration is None:
        return None
    return chosen.start_time + chosen.duration


def tracks_of(opened: av.container.InputContainer, kind: str) -> list[av.stream.Stream]:
    """Those of a kind, without covers of albums.

    "depth" is grey video of more than 8 bits, of several tracks those titled so. Where there is
    other video, it is not "video".
    """
    found = [
        s
        for s in opened.streams
        if s.type == ("video" if kind == "depth" else kind)
        and not av.stream.Disposition(s.disposition) & _COVERS
    ]
    if kind == "audio":
        return found
    deep = [
        s
        for s in found
        if isinstance(s.codec_context, av.VideoCodecContext)
        and grey_bits(s.codec_context.format) > 8
    ]
    if kind == "video":
        return [s for s in found if s not in deep] or found
    return [s for s in deep if "depth" in s.metadata.get("title", "").lower()] or deep


def grey_bits(format: av.VideoFormat | None) -> int:
    """Bits of a pixel format without colours; 0 for those with colours."""
    parts = [] if format is None else format.components
    return parts[0].bits if format is not None and len(parts) < 3 and not format.has_palette else 0


_TRACKS = {
    "depth": "grey of more than 8 bits; a rendering in colours or 8 bits holds no depth to read"
}


def _refuse(name: str, condition: bool, reason: str) -> None:
    if condition:
        raise errors.DataError(name, f"{reason}; {given.AGAIN}")


@contextlib.contextmanager
def _refusing(
    name: str, reason: Callable[[str], str], kind: type[errors.DataError] = errors.DataError
) -> Iterator[None]:
    """Makes an error of FFmpeg that of a file; `reason` of FFmpeg's words is ours."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as e:
        why = getattr(e, "strerror", None) or str(e)
        raise kind(name, f"{reason(why)}; {given.AGAIN}") from e

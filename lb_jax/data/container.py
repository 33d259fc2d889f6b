"""Opening audio and video containers with PyAV so that damage is an error instead of a shorter clip."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import av
import av.error
import av.logging

from lb_jax.core import errors

# FFmpeg may follow references inside a file (playlists, external tracks); nothing outside the given bytes is read.
_OPTIONS = {"protocol_whitelist": "none"}
# Demuxers that turn still pictures and plain text into a "clip".
_NO_CLIP = ("_pipe", "tty", "image2")
# A header that promises this much more than the packets reach marks a cut file; encoders round durations by less.
_DURATION_SLACK_S = 1.0
# Formats whose duration is written in the header rather than guessed from the bit rate.
_TIMED_FORMATS = ("mov", "matroska")

av.logging.set_level(None)  # FFmpeg's remarks never reach stderr


class Opened:
    """One stream of an open container. A context manager.

    Attributes:
      name: how errors call the file.
      stream: the chosen PyAV stream.
    """

    def __init__(self, file: BinaryIO, container: av.container.InputContainer, stream: av.stream.Stream, name: str):
        self.name = name
        self.stream = stream
        self._container = container
        self._file = file

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the container; the file stays open."""
        self._container.close()

    def packets(self) -> int:
        """Counts the packets of the stream without decoding, and checks that the file is whole.

        Raises:
          errors.DataError: the file ends before what its header or index promises.
        """
        count, end_s = 0, 0.0
        try:
            for packet in self._container.demux():
                if packet.pts is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index == self.stream.index and packet.size:
                    self._refuse_cut(packet.is_corrupt, f"packet {count} is incomplete")
                    count += 1
        except av.error.FFmpegError as e:
            raise self._damaged(f"packet {count}", e) from e
        self._check_promises(end_s)
        return count

    def frames(self) -> Iterator[av.frame.Frame]:
        """Decodes the stream from its start, one frame after the other.

        Raises:
          errors.DataError: a packet cannot be decoded or a frame is damaged.
        """
        self._rewind()
        count = 0
        try:
            for packet in self._container.demux(self.stream):
                self._refuse_cut(packet.is_corrupt, f"the data of frame {count} is incomplete")
                for frame in packet.decode():
                    self._refuse_cut(frame.is_corrupt, f"frame {count} is damaged")
                    count += 1
                    yield frame
        except av.error.FFmpegError as e:
            raise self._damaged(f"frame {count}", e) from e
"""
"""

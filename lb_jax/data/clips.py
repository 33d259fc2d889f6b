"""A stretch of a media file, as benchmarks name it."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Clip:
    """What of a file an item is.

    Attributes:
      path: the file. Audio may lie in a video file, an image may be taken out of one.
      start_s: seconds from its beginning.
      end_s: seconds from its beginning, cut to its length; None is its end.
    """

    path: Path
    start_s: float = 0.0
    end_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Views:
    """Several clips out of one video, the scores of which are averaged (spec 7.2).

    Attributes:
      temporal: clips spread evenly over the video.
      spatial: squares spread evenly over the longer side of each.
      stride: every how manyeth frame of the video is looked at.
      mean, std: statistics of the pixels instead of those of the model's spec; None keeps these.
    """

    temporal: int = 5
    spatial: int = 3
    stride: int = 8
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

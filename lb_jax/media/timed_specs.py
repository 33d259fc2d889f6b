"""The preprocessing of what lasts as data: films, sound, motion."""

import dataclasses
import math

from lb_jax.core import fields
from lb_jax.media import picture_specs
from lb_jax.media.sensors import motion_units

RESAMPLERS = ("soxr_hq", "soxr_vhq", "soxr_mq", "soxr_lq", "sinc_hann")
UNITS = {"window_s": "seconds", "rate_hz": "samples per second"}


@dataclasses.dataclass(frozen=True)
class VideoSpec:
    """Preprocessing of clips.

    Attributes:
      frames: frames taken.
      size: side of the square in pixels; the short side is resized to it, bilinear.
      antialias: whether the bilinear kernel widens when shrinking. Off in training of the published
        weights.
      mean: subtracted per channel, on a 0..1 scale.
      std: divided by per channel.
      train_crop: the crop in training; evaluation always crops the centre. "resized" takes a
        square of a drawn share of the picture, see `video.drawn_square`.
      train_flip: probability of mirroring a whole clip in training; evaluation never mirrors.
      pixel_aspect: "square" scales frames whose pixels are not square (DVD, DV) to the shape that
        players show; "stored" takes the grid as it is.
      colour: "srgb" maps HDR (PQ, HLG) and wide gamuts to it, and applies the ICC profiles of still
        pictures; "stored" takes the numbers as they are.
      choice: which frames: "spread" evenly from the first to the last; "chunks" takes one of each
        part of the film, in training a drawn one (`chunks.choose`), and takes a single picture for
        a film of one frame; "run" takes frames that follow each other, the middle ones, in training
        a drawn run (`chunks.run`).
      fps: frames per second among which that choice is made; None takes those of the file. Frames
        that are given as such are what they are.
      shape: "square" cuts a square out; "stretch" shows the whole frame, its sides made equal.
      augmentation: of scale and colours in training: "none", or a row of
        `augmentation.AUGMENTATIONS`.
      clip_s: seconds of a window of the film; of each of `clips` windows, spread evenly from its
        beginning to its end, `frames` are taken, and of these `crops` squares, which lie evenly
        along the longer side (ImageBind spec 5.2). An item is then [clips crops, frames, s, s, 3],
        the squares of a window together. None is the film as one clip, without that axis.
      clips, crops: how many, with `clip_s`.
      bounds: of windows and sides: "exact" goes by when frames are shown; "published" counts frames
        by their average rate, and rounds the longer side as the original does.
    """

    frames: int = 8
    size: int = 224
    antialias: bool = False
    mean: picture_specs.RGB = picture_specs.CLIP_MEAN
    std: picture_specs.RGB = picture_specs.CLIP_STD
    train_crop: str = "random"
    train_flip: float = 0.0
    pixel_aspect: str = fields.added("square", before="stored")
    colour: str = fields.added("srgb", before="stored")
    choice: str = fields.added("spread", before="spread")
    fps: float | None = fields.added(None, before=None)
    shape: str = fields.added("square", before="square")
    augmentation: str = fields.added("none", before="none")
    clip_s: float | None = fields.added(None, before=None)
    clips: int = fields.added(1, before=1)
    crops: int = fields.added(1, before=1)
    bounds: str = fields.added("exact", before="exact")

    def __post_init__(self):
        fields.require(self.frames > 0, f"frames is {self.frames}, expected at least 1")
        fields.require(self.size > 0, f"size is {self.size}, expected a positive number of pixels")
        picture_specs.require_std(self.std)
        fields.require_choice("train_crop", self.train_crop, ("random", "centre", "resized"))
        fields.require_choice("choice", self.choice, ("spread", "chunks", "run"))
        fields.require_choice("shape", self.shape, ("square", "stretch"))
        fields.require(
            self.shape == "square" or self.train_crop == "centre",
            f"train_crop is {self.train_crop!r} and shape 'stretch', which shows the whole frame; "
            "expected train_crop 'centre'",
        )
        fields.require_choice("augmentation", self.augmentation, ("none", "dmvr"))
        fields.require(
            self.shape == "square" or self.augmentation == "none",
            f"augmentation is {self.augmentation!r} and shape 'stretch', which shows the whole "
            "frame; expected augmentation 'none'",
        )
        fields.require(
            self.fps is None or 0 < self.fps < math.inf,
            f"fps is {self.fps}, expected frames per second above 0, or None",
        )
        fields.require(
            0 <= self.train_flip <= 1,
            f"train_flip is {self.train_flip}, expected a probability from 0 to 1",
        )
        fields.require_choice("pixel_aspect", self.pixel_aspect, ("square", "stored"))
        fields.require_choice("colour", self.colour, ("srgb", "stored"))
        self._require_windows()

    def _require_windows(self) -> None:
        fields.require_choice("bounds", self.bounds, ("exact", "published"))
        fields.require(self.clips > 0, f"clips is {self.clips}, expected at least 1")
        fields.require(self.crops > 0, f"crops is {self.crops}, expected at least 1")
        if self.clip_s is None:
            fields.require(
                (self.clips, self.crops, self.bounds) == (1, 1, "exact"),
                f"clips are {self.clips}, crops {self.crops}, bounds {self.bounds!r}; expected "
                "clip_s, the seconds of a clip, with them",
            )
            return
        fields.require(
            0 < self.clip_s < math.inf, f"clip_s is {self.clip_s}, expected seconds above 0"
        )
        plain = ("spread", None, "square", "none")
        found = (self.choice, self.fps, self.shape, self.augmentation)
        fields.require(
            found == plain and self.train_crop != "resized",
            f"clip_s is {self.clip_s:g} with choice {self.choice!r}, fps {self.fps}, shape "
            f"{self.shape!r}, augmentation {self.augmentation!r}, train_crop {self.train_crop!r}; "
            "expected 'spread', None, 'square', 'none', and train_crop 'random' or 'centre'",
        )


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """Preprocessing of sound.

    Attributes:
      sample_rate_hz: rate the sound is resampled to; None keeps the file's own.
      mel_bins: filters of the log-mel bank.
      target_frames: length of each of the three time crops, of a slice or of the whole, in steps of
        the bank.
      mean: subtracted from the log-mel values.
      std: twice this divides them.
      mono: "mean" mixes all channels, "first" takes channel 0.
      resampler: a `soxr_*` quality, or "sinc_hann", the windowed sinc of the reference.
      train_crop: "random" draws the places in training, "first" keeps those of evaluation.
      layout: "crops" are three time crops as channels, "slices" consecutive ones as clips, "whole"
        is one stretch with time first; "windows" are stretches of `window_s` of the sound itself,
        from its beginning to its end (ImageBind spec 5.4).
      clips: slices or windows taken.
      padding: of the last slice, and of windows: "silence" is digital silence; "published" is 0
        before it is normalised, which is no silence, and of slices at least one frame of it.
      bank: "kaldi" is `fbank`, powers every 10 ms; "dmvr" and "vatt" are `magnitude_mel`, with one
        logarithm or the other.
      window_s: seconds of each window; steps of it beyond `target_frames` are cut off.
      bounds: of windows: "exact" begins at sample k (n - window) // (clips - 1); "published" counts
        as the original does, by which a fifth of all begin one sample early.
    """

    sample_rate_hz: int | None = 16000
    mel_bins: int = 112
    target_frames: int = 1036
    mean: float = -4.2677393
    std: float = 4.5689974
    mono: str = "mean"
    resampler: str = "soxr_hq"
    train_crop: str = "random"
    layout: str = fields.added("crops", before="crops")
    clips: int = fields.added(1, before=1)
    padding: str = fields.added("silence", before="silence")
    bank: str = fields.added("kaldi", before="kaldi")
    window_s: float = fields.added(2.0, before=2.0)
    bounds: str = fields.added("exact", before="exact")

    def __post_init__(self):
        fields.require(
            self.sample_rate_hz is None or self.sample_rate_hz >= 1000,
            f"sample_rate_hz is {self.sample_rate_hz}, expected at least 1000",
        )
        fields.require(self.mel_bins > 0, f"mel_bins is {self.mel_bins}, expected at least 1")
        fields.require(
            self.target_frames > 0, f"target_frames is {self.target_frames}, expected at least 1"
        )
        fields.require(self.std > 0, f"std is {self.std}, expected a positive number")
        fields.require_choice("mono", self.mono, ("mean", "first"))
        fields.require_choice("resampler", self.resampler, RESAMPLERS)
        fields.require_choice("train_crop", self.train_crop, ("random", "first"))
        fields.require_choice("layout", self.layout, ("crops", "slices", "whole", "windows"))
        fields.require(self.clips > 0, f"clips is {self.clips}, expected at least 1")
        fields.require_choice("padding", self.padding, ("silence", "published"))
        fields.require_choice("bank", self.bank, ("kaldi", "dmvr", "vatt"))
        fields.require(
            self.bank == "kaldi" or self.sample_rate_hz is not None,
            f"bank is {self.bank!r}, whose steps are samples; expected a sample_rate_hz",
        )
        fields.require_choice("bounds", self.bounds, ("exact", "published"))
        fields.require(
            0 < self.window_s < math.inf, f"window_s is {self.window_s}, expected seconds above 0"
        )
        fields.require(
            self.layout != "windows" or (self.bank == "kaldi" and self.sample_rate_hz is not None),
            f"layout is 'windows' with bank {self.bank!r} and sample_rate_hz "
            f"{self.sample_rate_hz}; expected bank 'kaldi' and a sample_rate_hz",
        )


@dataclasses.dataclass(frozen=True)
class ImuSpec:
    """Preprocessing of motion: accelerometer and gyroscope (ImageBind spec 5.7).

    Attributes:
      samples: of a window, evenly spaced.
      window_s: its length in seconds. 2000 samples in 5 s are the 400 Hz of the paper.
      rate_hz: samples per second of recordings that say neither it nor times; None is not known.
      accel_unit: of the accelerometer: one of `motion_units.ACCEL`, or "auto", which goes by the
        file and by gravity.
      gyro_unit: of the gyroscope: one of `motion_units.GYRO`, or "auto", which goes by the file and
        by its readings.
      columns: names of the six columns, accelerometer x, y, z, then gyroscope, separated by commas,
        and of that of the times before them if there is one; empty goes by usual names.
      interpolate_s: the longest gap in seconds that is filled in by a straight line.
      short: what is done with less than a window: "refuse" it, "hold" the last reading, or "repeat"
        the recording.
      train_crop: "random" draws the place of the window in training; "centre" takes the middle, as
        evaluation does.
    """

    samples: int = 2000
    window_s: float = 5.0
    rate_hz: float | None = None
    accel_unit: str = "auto"
    gyro_unit: str = "auto"
    columns: str = ""
    interpolate_s: float = 0.0
    short: str = "refuse"
    train_crop: str = "random"

    @property
    def grid_hz(self) -> float:
        """Samples per second of a window."""
        return self.samples / self.window_s

    def __post_init__(self):
        fields.require(self.samples > 0, f"samples is {self.samples}, expected at least 1")
        for name in ("window_s", "rate_hz"):
            value = getattr(self, name)
            fields.require(
                value is None or 0 < value < math.inf,
                f"{name} is {value}, expected {UNITS[name]} above 0",
            )
        fields.require_choice(
            "accel_unit", self.accel_unit, (motion_units.AUTO, *motion_units.ACCEL)
        )
        fields.require_choice("gyro_unit", self.gyro_unit, (motion_units.AUTO, *motion_units.GYRO))
        named = [one for one in self.columns.split(",") if one.strip()]
        fields.require(
            len(named) in (0, 6, 7),
            f"columns are {self.columns!r}, expected six names separated by commas, or seven with "
            "that of the times first",
        )
        fields.require(
            0 <= self.interpolate_s < math.inf,
            f"interpolate_s is {self.interpolate_s}, expected seconds, or 0 to fill no gap",
        )
        fields.require_choice("short", self.short, ("refuse", "hold", "repeat"))
        fields.require_choice("train_crop", self.train_crop, ("random", "centre"))

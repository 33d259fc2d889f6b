"""A caption of the sound; a film without any has none, and stays."""

import dataclasses
import functools
from typing import ClassVar

from lb_jax.builder.texts import captioning, writing

VIEW = captioning.View("sound_mplug", "ta")
FIGURES = captioning.ONE


@dataclasses.dataclass(frozen=True)
class SoundMplug(captioning.Captioning):
    """Settings, see `Captioning`."""

    STAGE: ClassVar[str] = VIEW.name


prepare = functools.partial(writing.prepare, VIEW)
wants, look, judge = writing.wants, writing.look, writing.judge

"""A caption of the clip, from sight alone."""

import dataclasses
import functools
from typing import ClassVar

from lb_jax.builder.texts import captioning, writing

VIEW = captioning.View("mplug", "tv")
FIGURES = captioning.ONE


@dataclasses.dataclass(frozen=True)
class Mplug(captioning.Captioning):
    """Settings, see `Captioning`."""

    STAGE: ClassVar[str] = VIEW.name


prepare = functools.partial(writing.prepare, VIEW)
wants, look, judge = writing.wants, writing.look, writing.judge

"""Eight captions of eight key frames, each of that picture alone (LanguageBind spec 8.5)."""

import dataclasses
import functools
from typing import ClassVar

from lb_jax.builder.texts import captioning, writing
from lb_jax.corpora import captions

VIEW = captioning.View("ofa", "tv", captions.FRAMES_PER_ITEM)
FIGURES = captioning.SEVERAL


@dataclasses.dataclass(frozen=True)
class Ofa(captioning.Captioning):
    """Settings, see `Captioning`; beam and runs are those of the original, which is OFA.

    The pictures are the stills of the corpus, so that caption 3 is of still 3.
    """

    STAGE: ClassVar[str] = VIEW.name

    beam: int = 5
    no_repeat_ngram: int = 3


prepare = functools.partial(writing.prepare, VIEW)
wants, look, judge = writing.wants, writing.look, writing.judge

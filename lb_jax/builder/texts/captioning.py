"""What stages that caption have in common: what they look at, settings, what they write."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core import shipped
from lb_jax.core.fields import require

LACKS = "lacks"  # why there is no text; empty where there is one
ABOUT = (("model", pa.string()), (LACKS, pa.string()))
ONE = (("text", pa.string()), *ABOUT)
SEVERAL = (("texts", pa.list_(pa.string())), *ABOUT)


@dataclasses.dataclass(frozen=True)
class View:
    """What is written about.

    Attributes:
      name: of the stage.
      group: of a VALOR model: "tv" for sight, "ta" for sound.
      pictures: so many evenly spread ones, each by itself; 0 for the film as a whole.
    """

    name: str
    group: str
    pictures: int = 0


@dataclasses.dataclass(frozen=True)
class Captioning:
    """Settings of a stage that captions.

    Attributes:
      model: folder or name of a VALOR model; "captioner" is that of the package, which writes only
        of films that the demo draws. `transformers:NAME` for one of that library, where the stage
        can take it.
      batch_size: that are written about at once.
      beam: texts that are followed at a time; 1 is greedy.
      longest: tokens of a text, at most.
      no_repeat_ngram: runs of so many tokens come once in a text; 0 lets them come again.
    """

    STAGE: ClassVar[str] = ""

    model: str = shipped.CAPTIONER
    batch_size: int = 8
    beam: int = 3
    longest: int = 30
    no_repeat_ngram: int = 0

    def __post_init__(self):
        where = f"config.{self.STAGE}"
        require(bool(self.model), f"{where}: model is empty; name one, such as a VALOR model.")
        require(
            self.batch_size > 0 and self.beam > 0 and self.longest > 1,
            f"{where}: batch_size is {self.batch_size}, beam {self.beam} and longest "
            f"{self.longest}; expected 1 or more, 1 or more, and 2 or more.",
        )
        require(
            self.no_repeat_ngram >= 0,
            f"{where}: no_repeat_ngram is {self.no_repeat_ngram}, expected 0 or more.",
        )


class Writer(Protocol):
    """What writes of films; it travels to processes without JAX, so it holds no model."""

    @property
    def settings(self) -> Captioning:
        """Of the stage."""
        ...

    @property
    def view(self) -> View:
        """What it writes about."""
        ...

    @property
    def wants(self) -> stage.Wants:
        """What it looks at of a film."""
        ...

    def ready(self, film: stage.Film) -> Mapping[str, np.ndarray]:
        """What the model takes of a film.

        Raises:
          DataError: the film cannot be used.
          Nothing: it shows or sounds nothing that one could write of.
        """
        ...

    def write(self, looked: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """The texts of each film: one, or one for each picture."""
        ...


class Nothing(Exception):
    """A film has nothing of what a view is about; the message says why."""

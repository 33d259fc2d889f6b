"""How text is made ready, as data: stored inside checkpoints beside the specs of media."""

import dataclasses

from lb_jax.core import fields


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """Tokenisation of text.

    Attributes:
      context: tokens per text, start and end included.
      clean: what is done to a text before: "lower" makes its letters small, as in the training of
        the published weights; "canonicalize" also takes its punctuation out; "whitespace" neither.
    """

    context: int = 77
    clean: str = fields.added("lower", before="lower")

    def __post_init__(self):
        fields.require_choice("clean", self.clean, ("lower", "canonicalize", "whitespace"))
        fields.require(
            self.context >= 3,
            f"context is {self.context}, expected at least 3: start, one token, end",
        )

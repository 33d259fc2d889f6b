"""How text is made ready, as data: stored inside checkpoints beside the specs of media."""

import dataclasses

from lb_jax.core import errors, fields

# How texts become tokens -> what may be done to them before.
CLEANINGS = {
    "clip": ("lower", "canonicalize", "whitespace"),
    "wordpiece": ("bare", "whitespace"),
}


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """Tokenisation of text.

    Attributes:
      context: tokens per text, start and end included.
      clean: what is done to a text before: "lower" makes its letters small, as in the training of
        the published weights; "canonicalize" also takes its punctuation out; "whitespace" neither;
        "bare", of WordPiece, is `wordpiece.clean`, and "whitespace" there nothing but the small
        letters of its vocabulary.
      tokens: "clip" are CLIP's byte pairs; "wordpiece" are BERT's pieces, whose vocabulary comes
        with the weights (`wordpiece.WordPiece`).
    """

    context: int = 77
    clean: str = fields.added("lower", before="lower")
    tokens: str = fields.added("clip", before="clip")

    def __post_init__(self):
        fields.require_choice("tokens", self.tokens, tuple(CLEANINGS))
        fields.require_choice("clean", self.clean, CLEANINGS[self.tokens])
        fields.require(
            self.context >= 3,
            f"context is {self.context}, expected at least 3: start, one token, end",
        )


def require_clip(spec: TextSpec) -> None:
    """Raises `ConfigError` for a spec whose tokens need a vocabulary that comes with weights."""
    if spec.tokens != "clip":
        raise errors.ConfigError(
            f"tokens are {spec.tokens!r}, whose vocabulary comes with the weights; load the model "
            "and tokenise by it, or read its vocabulary by lb_jax.text.wordpiece.WordPiece.read."
        )

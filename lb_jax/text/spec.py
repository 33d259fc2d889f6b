"""How text is made ready, as data: stored inside checkpoints beside the specs of media."""

import dataclasses

from lb_jax.core import errors, fields

# How texts become tokens -> what may be done to them before.
CLEANINGS = {
    "clip": ("lower", "canonicalize", "whitespace"),
    "wordpiece": ("bare", "whitespace"),
    "words": ("content", "bare"),
}
# How texts become tokens -> the fewest that a text has room for, and what they are.
_FEWEST = {
    "clip": (3, "start, one token, end"),
    "wordpiece": (3, "start, one token, end"),
    "words": (1, "one word"),
}
# Of vocabularies that come with weights, what reads them.
READERS = {
    "wordpiece": "lb_jax.text.wordpiece.WordPiece.read",
    "words": "lb_jax.text.words.Words.read",
}


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """Tokenisation of text.

    Attributes:
      context: tokens per text, start and end included.
      clean: what is done to a text before: "lower" makes its letters small, as in the training of
        the published weights; "canonicalize" also takes its punctuation out; "whitespace" neither;
        "bare", of WordPiece, is `wordpiece.clean`, and "whitespace" there nothing but the small
        letters of its vocabulary; "content" and "bare", of words, are those of `words.words`.
      tokens: "clip" are CLIP's byte pairs; "wordpiece" are BERT's pieces and "words" whole words,
        whose vocabularies come with the weights (`wordpiece.WordPiece`, `words.Words`).
    """

    context: int = 77
    clean: str = fields.added("lower", before="lower")
    tokens: str = fields.added("clip", before="clip")

    def __post_init__(self):
        fields.require_choice("tokens", self.tokens, tuple(CLEANINGS))
        fields.require_choice("clean", self.clean, CLEANINGS[self.tokens])
        fewest, what = _FEWEST[self.tokens]
        fields.require(
            self.context >= fewest,
            f"context is {self.context}, expected at least {fewest}: {what}",
        )


def require_clip(spec: TextSpec) -> None:
    """Raises `ConfigError` for a spec whose tokens need a vocabulary that comes with weights."""
    if spec.tokens != "clip":
        raise errors.ConfigError(
            f"tokens are {spec.tokens!r}, whose vocabulary comes with the weights; load the model "
            f"and tokenise by it, or read its vocabulary by {READERS[spec.tokens]}."
        )

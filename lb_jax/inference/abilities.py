"""What models of one kind do and others do not: asked of the wrong one, it is one line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from lb_jax.core import errors, shipped


class Unable(errors.ConfigError, AttributeError):
    """A model is asked for what it does not do; `hasattr` takes it for what is not there."""


class Lack(NamedTuple):
    """What a kind of model does not do.

    Attributes:
      names: methods of another kind.
      told: what the model is, in words that follow its source.
      remedy: which model has them.
    """

    names: Sequence[str]
    told: str
    remedy: str


OF_ENCODERS = Lack(
    ("caption", "answer", "score", "write", "decoding"),
    "is an encoder, which gives vectors and does not write",
    f'open a VALOR model, such as lb_jax.load("{shipped.CAPTIONER}")',
)
OF_WRITERS = Lack(
    (
        *("encode", "embed_long", "preprocess", "features", "similarity", "logits", "fuse"),
        *("match_probability", "threshold"),
    ),
    "is a VALOR model, which writes (`caption`, `answer`) and compares (`score`)",
    f'open an encoder, such as lb_jax.load("{shipped.DEMO}") or LanguageBind\'s',
)


class Able:
    """A model that tells what it does not do.

    Attributes:
      source: what it was loaded from.
      lack: what models of its kind do not do.
    """

    source: str
    lack: Lack

    if not TYPE_CHECKING:  # which knows all names that there are

        def __getattr__(self, name: str) -> NoReturn:
            """What is not there: an `Unable` where another kind of model has it."""
            if name in type(self).lack.names:
                lack = type(self).lack
                raise Unable(f"{self.source} {lack.told}, so it has no `{name}`; {lack.remedy}.")
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)

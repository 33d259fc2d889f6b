"""What moments are ranked by: vectors, the words of captions, or both ranks together."""

from typing import TYPE_CHECKING

from lb_jax.core import errors

if TYPE_CHECKING:
    from lb_jax.search.store import Store

VECTOR, CAPTION, BOTH = BY = ("vector", "caption", "both")


def chosen(store: "Store", words: str | None, asked: str | None) -> str:
    """One of `BY`.

    Args:
      store: that is searched.
      words: of the query; None for none.
      asked: what is asked for; None takes both where the store has captions and there are words,
        else vectors.

    Raises:
      ConfigError: for captions without words.
      MissingError: for captions of a store that has none.
    """
    from lb_jax.search import spoken

    if asked == VECTOR:
        return VECTOR
    if asked is None:
        return BOTH if words is not None and store.captions() is not None else VECTOR
    if words is None:
        raise errors.ConfigError(
            f"ranking by {asked} looks for words in captions; give a sentence, or rank by {VECTOR}."
        )
    spoken.require(store)
    return asked

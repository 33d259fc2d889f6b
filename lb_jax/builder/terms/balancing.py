"""Shares of sources and weights of terms."""

from collections.abc import Sequence

from lb_jax.builder.terms.merging import Term


def shared(terms: Sequence[Term], most: int) -> list[Term]:
    """Takes terms so that every source has the same number of them; what one lacks goes to others.

    The sources take turns, in the order of their names; each takes the term that is most frequent
    in it of those that nobody took.

    Args:
      terms: all of them.
      most: that are taken.

    Returns:
      The taken ones, in the order of `terms`.
    """
    names = sorted({name for one in terms for name in one.sources})
    waiting = {
        name: iter(
            sorted(
                (place for place, one in enumerate(terms) if name in one.sources),
                key=lambda place, name=name: (-terms[place].sources[name], terms[place].term),
            )
        )
        for name in names
    }
    taken: set[int] = set()
    while waiting and len(taken) < most:
        for name in [*waiting]:
            place = next((one for one in waiting[name] if one not in taken), None)
            if place is None:
                del waiting[name]
            elif len(taken) < most:
                taken.add(place)
    return [terms[place] for place in sorted(taken)]


def weight(count: int, limit: int) -> float:
    """Probability with which a text of a term is kept, so that frequent terms do not outweigh rare.

    MetaCLIP (arXiv 2309.16671, section 3.3): what is in more than t texts is drawn t of them.
    """
    return min(1.0, limit / count)

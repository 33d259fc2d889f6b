"""Captions against their references: BLEU-1 to 4, ROUGE-L and CIDEr-D, without Java.

    found = captions.score({"a": ["a dog barks"], "b": ["rain", "it rains"]}, {"a": …, "b": …})
    found.corpus["CIDEr"], found.per_item["a"]["BLEU-4"]

METEOR and SPICE are programs of their own, see `java_scorers`.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.core import words as names
from lb_jax.evaluation.metrics import bleu, cider, intervals, ngrams, rouge, words

BLEU = tuple(f"BLEU-{n}" for n in range(1, ngrams.LONGEST + 1))
NAMES = ("CIDEr", *reversed(BLEU), "ROUGE-L")  # CIDEr selects, so it is the headline
_SHOWN = 3  # ids in a message


@dataclasses.dataclass(frozen=True)
class Scores:
    """What `score` found: fractions, but for CIDEr, which runs from 0 to 10.

    Attributes:
      corpus: name -> figure.
      per_item: item -> name -> figure.
      interval: name -> (low, high), 95 % of items drawn again.
    """

    corpus: dict[str, float]
    per_item: dict[str, dict[str, float]]
    interval: dict[str, tuple[float, float]]


def score(
    references: Mapping[str, Sequence[str]],
    candidates: Mapping[str, str],
    tokenise: words.Tokeniser = words.tokenise,
) -> Scores:
    """Scores a caption of each item.

    CIDEr is not a fraction: it runs from 0 to 10, and is printed times 100 like the others.

    Args:
      references: item -> its captions by people, at least one.
      candidates: item -> its caption by the model; the same items.
      tokenise: sentence -> words; `words.pretokenised` for what was tokenised before.

    Raises:
      DataError: items without a reference or a candidate, or none at all.
    """
    check(references, candidates)
    said = {id_: tokenise(candidates[id_]) for id_ in references}
    known = {id_: [tokenise(one) for one in texts] for id_, texts in references.items()}
    counted = {id_: [ngrams.counts(one) for one in texts] for id_, texts in known.items()}
    frequencies = cider.Frequencies.of(counted.values())
    tallies, others = [], []
    for id_, one in said.items():
        counts = ngrams.counts(one)
        most = functools.reduce(lambda a, b: a | b, counted[id_])
        tallies.append(bleu.of_counts(counts, len(one), most, [len(r) for r in known[id_]]))
        others.append(
            (
                cider.References(counted[id_], frequencies).score(counts),
                rouge.score(one, known[id_]),
            )
        )
    values = np.concatenate([np.stack(others), np.stack(tallies)], 1)  # [n, 2 + 10]
    low, high = intervals.bootstrap(values, _corpus)
    each = np.concatenate([values[:, :2], bleu.score(values[:, 2:])], 1)
    return Scores(
        _named(_corpus(values)),
        {id_: _named(row) for id_, row in zip(said, each, strict=True)},
        {name: (_named(low)[name], _named(high)[name]) for name in NAMES},
    )


def check(references: Mapping[str, Sequence[str]], candidates: Mapping[str, str]) -> None:
    """Refuses items that have a caption on one side only.

    Raises:
      DataError: which they are, in one line.
    """
    if not references:
        raise errors.DataError("references", "are none; expected an item with a caption or more")
    if empty := [id_ for id_, texts in references.items() if not texts]:
        raise errors.DataError(
            "references", f"{_some(empty)} without any; leave the item out or add its captions"
        )
    if missing := [id_ for id_ in references if id_ not in candidates]:
        raise errors.DataError(
            "candidates",
            f"{_some(missing)} of {len(references)} without a caption; write one for every item "
            "that has references",
        )
    if more := [id_ for id_ in candidates if id_ not in references]:
        raise errors.DataError(
            "candidates", f"{_some(more)} without references; leave them out, or add references"
        )


def by_id(pairs: Iterable[tuple[object, object]], name: str, *, several: bool) -> dict[str, list]:
    """Gathers captions by the id of their item.

    Args:
      pairs: id and caption, in order.
      name: of the file or list, for messages.
      several: whether an item may have more than one.

    Returns:
      Item -> its captions, in the order in which items first come.

    Raises:
      DataError: a caption without an id or text, or an item twice where it may not be; with its
        place, counted from 1.
    """
    found: dict[str, list[str]] = {}
    for place, (id_, text) in enumerate(pairs, 1):
        if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
            told = "no id" if id_ is None else f"the id {id_!r}"
            raise errors.DataError(name, f"entry {place} has {told}; expected the name of its item")
        if not isinstance(text, str):
            raise errors.DataError(
                name, f"entry {place} ({id_}) has {text!r} for a caption; expected text"
            )
        if str(id_) in found and not several:
            raise errors.DataError(
                name, f"entry {place} has the id {id_} again; expected one caption for each item"
            )
        found.setdefault(str(id_), []).append(text)
    return found


def _corpus(values: np.ndarray) -> np.ndarray:
    """CIDEr, ROUGE-L and BLEU-1 to 4 of items `[n, 12]`."""
    return np.concatenate([values[:, :2].mean(0), bleu.score(values[:, 2:].sum(0))])


def _named(row: np.ndarray) -> dict[str, float]:
    found = dict(zip(("CIDEr", "ROUGE-L", *BLEU), row.tolist(), strict=True))
    return {name: found[name] for name in NAMES}


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(map(str, ids[:_SHOWN]))
    return f"{names.counted(len(ids), 'item')} ({shown}{', …' if len(ids) > _SHOWN else ''})"

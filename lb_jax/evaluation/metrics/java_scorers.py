"""METEOR and SPICE, which are Java programs: the package `pycocoevalcap` brings and starts them.

They are asked for by name and checked before a model runs. SPICE needs two more files, which its
package fetches when it is first used: the parser of Stanford CoreNLP 3.6.0.
"""

import contextlib
import dataclasses
import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lb_jax.core import errors
from lb_jax.evaluation.metrics import captions, words

PACKAGE, EXTRA = "pycocoevalcap", "captions"
_PARSER = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

Texts = Mapping[str, Sequence[str]]


def require(names: Sequence[str]) -> None:
    """Checks that the scorers can run here.

    Args:
      names: some of `SCORERS`.

    Raises:
      ConfigError: an unknown name, or what is not installed: the package, Java, the parser.
    """
    for name in names:
        if name not in SCORERS:
            raise errors.ConfigError(
                f"no scorer of captions {name!r}; there are {', '.join(SCORERS)}."
                f"{errors.nearest(name, SCORERS)}"
            )
    if not names:
        return
    asked = " and ".join(names)
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise errors.ConfigError(
            f"{asked} needs {PACKAGE}, which is not installed; pip install 'lb_jax[{EXTRA}]', or "
            "leave it out: BLEU, ROUGE-L and CIDEr need neither it nor Java."
        )
    if shutil.which("java") is None:
        raise errors.ConfigError(
            f"{asked} needs Java, and there is no program java; install a Java runtime (Debian: "
            "default-jre-headless), or leave it out: BLEU, ROUGE-L and CIDEr need none."
        )
    folder = Path(found.submodule_search_locations[0])
    for name in names:
        for file in SCORERS[name].files:
            if not (folder / file).is_file():
                raise errors.ConfigError(
                    f"{name} needs {file} in {folder}, which is not there; run python -c 'from "
                    f"{PACKAGE}.spice.get_stanford_models import get_stanford_models as get; "
                    "get()' once with a network, or leave it out."
                )


def score(
    references: Texts,
    candidates: Mapping[str, str],
    names: Sequence[str],
    tokenise: words.Tokeniser = words.tokenise,
) -> captions.Scores:
    """Scores a caption of each item by Java programs, of the words that `captions.score` counts.

    Args:
      references: item -> its captions by people.
      candidates: item -> its caption by the model; the same items.
      names: some of `SCORERS`.
      tokenise: sentence -> words.

    Returns:
      Figures as fractions, without intervals.

    Raises:
      ConfigError: as `require`.
      DataError: as `captions.check`.
    """
    require(names)
    captions.check(references, candidates)
    truth = {id_: [_line(tokenise(one)) for one in texts] for id_, texts in references.items()}
    said = {id_: [_line(tokenise(candidates[id_]))] for id_ in truth}
    corpus: dict[str, float] = {}
    each: dict[str, dict[str, float]] = {id_: {} for id_ in truth}
    for name in names:
        corpus[name], items = SCORERS[name].run(truth, said)
        for id_, value in items.items():
            each[id_][name] = value
    return captions.Scores(corpus, each, {})


def _line(tokens: Sequence[str]) -> str:
    return " ".join(tokens)


def _meteor(truth: Texts, said: Texts) -> tuple[float, dict[str, float]]:
    from pycocoevalcap.meteor import meteor

    with _ended(meteor.Meteor()) as scorer:
        total, each = scorer.compute_score(truth, said)
    return float(total), dict(zip(truth, map(float, each), strict=True))


@contextlib.contextmanager
def _ended(scorer) -> Iterator:
    """Ends the scorer's program, whatever happens."""
    try:
        yield scorer
    finally:
        scorer.meteor_p.stdin.close()
        scorer.meteor_p.kill()
        scorer.meteor_p.wait()
        scorer.meteor_p.stdout.close()
        scorer.meteor_p.stderr.close()


def _spice(truth: Texts, said: Texts) -> tuple[float, dict[str, float]]:
    from pycocoevalcap.spice import spice

    total, each = spice.Spice().compute_score(truth, said)
    values = [float(one["All"]["f"]) for one in each]  # by id, sorted
    return float(total), dict(zip(sorted(truth), values, strict=True))


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A Java program: how it runs, and the files it needs below its package."""

    run: Callable[[Texts, Texts], tuple[float, dict[str, float]]]
    files: tuple[str, ...] = ()


SCORERS: Mapping[str, Scorer] = {
    "METEOR": Scorer(_meteor),
    "SPICE": Scorer(_spice, tuple(f"spice/lib/{one}" for one in _PARSER)),
}

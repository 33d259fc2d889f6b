"""`lb-jax corpus COMMAND …`: a corpus of one's own, from raw films with titles to training data."""

from collections.abc import Sequence

from lb_jax.cli import (
    corpus_collect,
    corpus_demo,
    corpus_generate,
    corpus_run,
    corpus_terms,
)
from lb_jax.cli.arguments import dispatch


def main(argv: Sequence[str]) -> None:
    """Runs a row of `SUBCOMMANDS`.

    Raises:
      ConfigError: no such command, or none.
    """
    dispatch("corpus", SUBCOMMANDS, argv)


# name: (its main(argv), what it does)
SUBCOMMANDS = {
    "terms": (corpus_terms.main, "search terms of labels and captions of other sets"),
    "collect": (corpus_collect.main, "fetch films and sounds that may be used"),
    "run": (corpus_run.main, "filter the items of a source by the stages of a sheet"),
    "demo": (corpus_demo.main, "draw raw films, some with faults, filter them, score the filters"),
    "generate": (corpus_generate.main, "depth and infrared pictures of films' frames"),
}

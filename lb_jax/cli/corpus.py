"""`lb-jax corpus COMMAND`: corpora from films."""

from collections.abc import Sequence

from lb_jax.cli import arguments, corpus_generate

PARTS = {
    "generate": (corpus_generate.main, "depth and infrared pictures of films' frames"),
}


def main(argv: Sequence[str]) -> None:
    """Runs the part that is named first."""
    arguments.dispatch("corpus", PARTS, argv)

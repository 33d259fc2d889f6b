"""`python -m lb_jax.corpus` is `lb-jax corpus`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

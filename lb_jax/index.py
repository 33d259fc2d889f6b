"""`python -m lb_jax.index` is `lb-jax index`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

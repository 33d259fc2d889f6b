"""`python -m lb_jax.convert` is `lb-jax convert`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

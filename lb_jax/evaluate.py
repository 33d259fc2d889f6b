"""`python -m lb_jax.evaluate` is `lb-jax evaluate`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

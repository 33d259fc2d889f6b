"""`python -m lb_jax.replay` is `lb-jax replay`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

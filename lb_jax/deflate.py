"""`python -m lb_jax.deflate` is `lb-jax deflate`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

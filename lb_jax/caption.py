"""`python -m lb_jax.caption` is `lb-jax caption`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

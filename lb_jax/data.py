"""`python -m lb_jax.data` is `lb-jax data`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

"""`python -m lb_jax.serve` is `lb-jax serve`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

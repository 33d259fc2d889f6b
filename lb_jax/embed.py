"""`python -m lb_jax.embed` is `lb-jax embed`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

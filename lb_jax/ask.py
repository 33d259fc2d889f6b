"""`python -m lb_jax.ask` is `lb-jax ask`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

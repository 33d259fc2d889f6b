"""`python -m lb_jax.plan` is `lb-jax plan`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

"""`python -m lb_jax.doctor` is `lb-jax doctor`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

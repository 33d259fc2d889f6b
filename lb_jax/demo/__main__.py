"""`python -m lb_jax.demo` is `lb-jax demo`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

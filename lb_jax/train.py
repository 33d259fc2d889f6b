"""`python -m lb_jax.train` is `lb-jax train`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

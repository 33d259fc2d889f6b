"""`python -m lb_jax.calibrate` is `lb-jax calibrate`."""

from lb_jax.cli import entry

entry.run(__name__, __spec__)

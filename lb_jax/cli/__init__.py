"""The `lb-jax` program: thin commands."""

"""The `lb-jax` program: thin commands, each of which imports what it needs when it is called.

May import every room but `configs`, inside functions. Read first: `main`.
"""

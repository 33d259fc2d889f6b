"""`python -m lb_jax.demo` is `lb-jax demo`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))

"""`python -m lb_jax.evaluate` is `lb-jax evaluate`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))

"""`python -m lb_jax.plan` is `lb-jax plan`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:]]))

"""`python -m lb_jax.embed` is `lb-jax embed`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["embed", *sys.argv[1:]]))

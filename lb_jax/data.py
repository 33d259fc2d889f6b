"""`python -m lb_jax.media` is `lb-jax data`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["data", *sys.argv[1:]]))

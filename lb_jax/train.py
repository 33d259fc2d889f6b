"""`python -m lb_jax.train` is `lb-jax train`."""

import sys

from lb_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))

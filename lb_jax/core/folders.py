"""Where things are kept that can be made again."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """The folder `name` of this package in the user's cache folder; it need not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lb_jax" / name

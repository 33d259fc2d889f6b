"""The folder of reference numbers, which tests of the mark `golden` take every size from."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("LB_JAX_GOLDENS") or ROOT.parent / "shared" / "golden").resolve()


@functools.cache
def settings(folder: Path) -> dict[str, Any]:
    """Content of its config.json."""
    return json.loads((folder / "config.json").read_text())


@functools.cache
def arrays(file: Path) -> dict[str, np.ndarray]:
    """Content of an npz file."""
    with np.load(file) as found:
        return {name: found[name] for name in found.files}

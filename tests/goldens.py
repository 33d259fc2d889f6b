"""The folder of reference numbers, which tests of the mark `golden` take every size from."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("LB_JAX_GOLDENS") or ROOT.parent / "shared" / "golden").resolve()

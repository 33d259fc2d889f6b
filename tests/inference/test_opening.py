import jax
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import mmv_files
from lb_jax.core import errors
from lb_jax.models import mmv
from tests.models.test_mmv import CFG


def test_an_mmv_model_says_how_it_is_opened(tmp_path):
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), mmv.Mmv(CFG).shapes)
    mmv_files.save(tmp_path / "ours", CFG, params)
    mmv_files.convert(tmp_path / "ours", tmp_path / "released", "hf")
    for path in ("ours", "released", f"released/{mmv_files.RELEASED}"):
        with pytest.raises(errors.ConfigError, match=r"mmv_files\.open_mmv"):
            lb_jax.load(tmp_path / path)

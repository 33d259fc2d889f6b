"""The reference's own state dict through a released folder and our checkpoint (golden README)."""

import json

import jax
import numpy as np
import pytest

from lb_jax.convert import tensors, torch_writer, valor_folder, valor_options
from lb_jax.core import config as config_lib
from tests import valor as golden

pytestmark = [pytest.mark.golden, golden.needs_folder]


@pytest.mark.parametrize("cross", ["va_concate", "video_audio"])
def test_the_reference_comes_and_goes_bit_for_bit(cross, tmp_path):
    arrays = golden.weights(*(() if cross == "va_concate" else (f"weights_{cross}",)))
    cfg = golden.config(cross)
    (tmp_path / "log").mkdir()
    torch_writer.write(tmp_path / "model_step_9.pt", arrays.items(), {})
    options = {valor_options.OURS: config_lib.to_dict(cfg)}  # the sizes are not published ones
    (tmp_path / "log" / "hps.json").write_text(json.dumps(options))
    opened = valor_folder.open_valor(tmp_path)
    assert opened.config == cfg
    expected = golden.params(cfg, *(() if cross == "va_concate" else (f"weights_{cross}",)))
    jax.tree.map(np.testing.assert_array_equal, opened.params(), expected)
    valor_folder.save(tmp_path / "ours", cfg, opened.params(None), source=opened)
    valor_folder.write_released(valor_folder.open_valor(tmp_path / "ours"), tmp_path / "out")
    file = tmp_path / "out" / "ckpt" / "model_step_0.pt"
    found = tensors.state_dict(tensors.open_tensors(file))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].read(), array, err_msg=name)

"""The golden file of ImageBind: every tensor has its place, and comes back bit by bit."""

import json

import numpy as np
import pytest

from lb_jax.cli import main
from lb_jax.convert import imagebind_files, tensors, weights, write
from tests import imagebind

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not imagebind.FILE.is_file(), reason=f"no golden file {imagebind.FILE}"),
]


def read(folder):
    file = imagebind_files.find(folder)
    return {name: one.read() for name, one in tensors.open_tensors(file).items()}


@pytest.mark.parametrize("to", ["safetensors", "orbax"])
def test_there_and_back_is_bitwise(tmp_path, to):
    write.write(weights.open_weights(imagebind.WHOLE), tmp_path / "ours", to)
    write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "theirs", "hf")
    expected, found = read(imagebind.WHOLE), read(tmp_path / "theirs")
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert (found[name].dtype, found[name].shape) == (one.dtype, one.shape), name
        np.testing.assert_array_equal(found[name], one, err_msg=name)


def test_what_we_write_of_its_sizes_says_what_theirs_does(tmp_path):
    write.write(weights.open_weights(imagebind.WHOLE), tmp_path / "theirs", "hf")
    ours = json.loads((tmp_path / "theirs" / "config.json").read_text())["arguments"]
    theirs = imagebind.settings("whole")["arguments"]
    assert {name: ours.get(name, value) for name, value in theirs.items()} == theirs


def test_the_command_verifies_it(tmp_path, capsys):
    main.main(
        ["convert", str(imagebind.FILE), str(tmp_path / "out"), "--to=safetensors", "--verify"]
    )
    said = capsys.readouterr().out
    assert said.count("embeddings differ by at most 0.0e+00") == 7

"""GLPN's names, in and out: what is missing, has no place, or is of another shape or config."""

import json

import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import glpn, source
from lb_jax.core import checkpoint, errors, paths
from lb_jax.models.glpn import GlpnConfig
from tests import generators

CFG = generators.SMALL_GLPN
WEIGHTS = checkpoint.WEIGHTS


@pytest.fixture
def folder(tmp_path):
    glpn.save(tmp_path / "glpn", CFG, generators.drawn_glpn())
    return tmp_path / "glpn"


def changed(folder, change):
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    change(tensors)
    safetensors.numpy.save_file(tensors, folder / WEIGHTS)


def configured(folder, **values):
    stated = json.loads((folder / source.CONFIG).read_text())
    stated = {name: value for name, value in {**stated, **values}.items() if value != "absent"}
    (folder / source.CONFIG).write_text(json.dumps(stated))


def refused(folder):
    with pytest.raises(errors.CheckpointError) as caught:
        glpn.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_come_back_bit_for_bit(folder):
    cfg, params = glpn.load(folder)
    assert cfg == CFG
    expected = paths.flatten(generators.drawn_glpn())
    found = paths.flatten(params)
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_the_published_file_has_its_972_names():
    places = glpn.places(GlpnConfig())
    shapes = {place.name: place.foreign_shape for place in places}
    assert len(shapes) + 6 == 972  # the counts of six batch norms are not read
    assert shapes["glpn.encoder.block.2.26.attention.self.sr.weight"] == (320, 320, 2, 2)
    assert shapes["glpn.encoder.block.0.0.mlp.dwconv.dwconv.weight"] == (256, 1, 3, 3)
    assert "decoder.stages.3.convolution.weight" not in shapes  # of the decoder's own width
    assert shapes["decoder.stages.1.fusion.convolutional_layer3.weight"] == (2, 32, 3, 3)


def test_configs_of_old_versions_are_read(folder):
    more = {"image_size": 224, "downsampling_rates": [1, 4, 8, 16], "layer_norm_eps": 1e-6}
    configured(folder, **more, num_attention_heads="absent")
    assert glpn.load(folder)[0] == CFG


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("head.head.2.bias"), "head.head.2.bias is missing"),
        (lambda t: t.update(more=np.zeros(2, np.float32)), "more has no place"),
        (
            lambda t: t.update({"head.head.2.bias": np.zeros(2, np.float32)}),
            r"head.head.2.bias is [2], expected [1]",
        ),
        (
            lambda t: t.update({"head.head.2.bias": np.full(1, np.nan, np.float32)}),
            "head.head.2.bias holds 1 value not finite",
        ),
    ],
)
def test_weights_that_do_not_fit(folder, change, told):
    changed(folder, change)
    assert told in refused(folder)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model_type": "dpt"}, "transformers:NAME"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', expected 'gelu'"),
        ({"head_in_index": 2}, "head_in_index is 2, expected -1"),
        ({"strides": [4, 2, 2, 1]}, "strides is [4, 2, 2, 1]"),
        ({"depths": [1, 1]}, "depths is [1, 1], expected 4 of a whole number"),
        ({"num_attention_heads": [3, 2, 5, 8]}, "does not split into 3 heads"),
        ({"max_depth": 0}, "max_depth is 0"),
    ],
)
def test_configs_that_do_not_fit(folder, values, told):
    configured(folder, **values)
    assert told in refused(folder)


def test_weights_without_a_config(folder):
    (folder / source.CONFIG).unlink()
    assert "no config.json beside the weights" in refused(folder)


def test_who_opens_it_as_an_encoder_is_told_what_it_is(folder):
    with pytest.raises(errors.CheckpointError, match="corpus generate --depth"):
        source.open_source(folder)

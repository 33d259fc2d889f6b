"""The generators' own files come and go bit for bit (golden README of vidal_generators)."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import glpn, munit, tensors
from tests import generators as golden
from tests import goldens

pytestmark = [pytest.mark.golden, golden.needs_folder]


def test_glpn_comes_and_goes():
    cfg, params = glpn.load(golden.GLPN)
    stated = goldens.settings(golden.GLPN)
    assert cfg == glpn.config(glpn.to_config(cfg), "ours")
    assert {name: stated[name] for name in glpn.to_config(cfg)} == glpn.to_config(cfg)
    expected = safetensors.numpy.load_file(golden.GLPN / "model.safetensors")
    found = dict(glpn.named(params, cfg))
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if name.endswith("num_batches_tracked"):
            assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_what_is_written_beside_glpn_is_what_transformers_writes(tmp_path):
    glpn.save(tmp_path / "out", *glpn.load(golden.GLPN))
    expected = json.loads((golden.GLPN / "preprocessor_config.json").read_text())
    assert json.loads((tmp_path / "out" / "preprocessor_config.json").read_text()) == expected


def test_munit_comes_and_goes(tmp_path):
    cfg, params = munit.load(golden.MUNIT / munit.FILE)  # its storages say cuda:0
    stated = goldens.settings(golden.MUNIT)["gen"]
    ours = (cfg.width, cfg.mlp_dim, cfg.style_dim, cfg.halvings, cfg.blocks)
    names = ("dim", "mlp_dim", "style_dim", "n_downsample", "n_res")
    assert ours == tuple(stated[name] for name in names)
    for domain, file in munit.ALONE.items():
        expected = safetensors.numpy.load_file(golden.MUNIT / file)
        found = dict(munit.named(params[domain], cfg))
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            if not re.search(r"norm\.running_(mean|var)$", name):
                np.testing.assert_array_equal(found[name], array, err_msg=name)
    munit.save(tmp_path / "out", cfg, params)
    again = munit.load(tmp_path / "out")
    assert again[0] == cfg
    for domain in munit.DOMAINS:
        same = dict(munit.named(again[1][domain], cfg))
        for name, array in munit.named(params[domain], cfg):
            np.testing.assert_array_equal(same[name], array)


def test_the_file_of_both_holds_what_the_files_of_each_hold():
    opened = tensors.open_tensors(golden.MUNIT / munit.FILE)
    for domain, file in munit.ALONE.items():
        expected = safetensors.numpy.load_file(golden.MUNIT / file)
        assert opened[domain].keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(opened[domain][name].read(), array)

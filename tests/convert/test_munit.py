"""MUNIT's names, in and out: buffers that are dropped, and what is refused."""

import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import munit
from lb_jax.core import errors, paths
from lb_jax.models.munit import MunitConfig
from tests import generators
from tests.convert import torch_files

CFG = generators.SMALL_MUNIT
STEM, OLD = "enc_content.model.0.conv.weight", "enc_content.model.0.norm.running_mean"


@pytest.fixture
def folder(tmp_path):
    munit.save(tmp_path / "munit", CFG, generators.drawn_munit())
    return tmp_path / "munit"


def changed(folder, change, domain="a"):
    file = folder / munit.ALONE[domain]
    tensors = safetensors.numpy.load_file(file)
    change(tensors)
    safetensors.numpy.save_file(tensors, file)


def refused(path):
    with pytest.raises(errors.CheckpointError) as caught:
        munit.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path, states, device="cuda:0"):
    """A file of torch as a run on a GPU writes it."""
    tree, records = {}, {}
    for domain, state in states.items():
        tree[domain] = {}
        for name, array in state.items():
            key = str(len(records))
            strides = tuple(step // array.itemsize for step in array.strides)
            kind = torch_files.Global("torch", "FloatStorage")
            at = torch_files.Persistent(("storage", kind, key, device, array.size))
            tree[domain][name] = torch_files.tensor(at, array.shape, strides)
            records[f"data/{key}"] = array.tobytes()
    return torch_files.write(path, torch_files.dumps(tree), records)


def states():
    return {
        domain: dict(munit.named(params, CFG))
        for domain, params in generators.drawn_munit().items()
    }


def require_drawn(cfg, params):
    assert cfg == CFG
    assert params.keys() == generators.drawn_munit().keys()
    for domain, expected in generators.drawn_munit().items():
        found = paths.flatten(params[domain])
        for path, leaf in paths.flatten(expected).items():
            np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_weights_come_back_bit_for_bit(folder):
    require_drawn(*munit.load(folder))


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_file_of_both_is_read_wherever_it_was_written(tmp_path, device):
    file = written(tmp_path / munit.FILE, states(), device)
    require_drawn(*munit.load(file))
    require_drawn(*munit.load(tmp_path))


def test_only_what_is_wanted_is_read(folder):
    cfg, params = munit.load(folder, {"b": ("content",)})
    assert cfg == CFG
    assert {domain: [*parts] for domain, parts in params.items()} == {"b": ["content"]}


def test_the_published_file_has_its_82_names():
    cfg = MunitConfig()
    shapes = {place.name: place.foreign_shape for place in munit.places(cfg)}
    assert len(shapes) + 2 * 2 * cfg.blocks == 82  # buffers of the norms that are not read
    assert shapes["enc_style.model.6.weight"] == (8, 256, 1, 1)
    assert shapes["enc_content.model.3.model.3.model.1.conv.weight"] == (256, 256, 3, 3)
    assert shapes["dec.model.5.conv.weight"] == (3, 64, 7, 7)
    assert shapes["mlp.model.2.fc.weight"] == (4096, 256)
    assert munit.config(shapes, "a file") == cfg


def test_buffers_of_old_versions_are_dropped(folder):
    changed(folder, lambda t: t.update({OLD: np.zeros(4, np.float32)}))
    changed(folder, lambda t: t.pop("dec.model.0.model.0.model.0.norm.running_mean"), "b")
    require_drawn(*munit.load(folder))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("mlp.model.1.fc.bias"), "mlp.model.1.fc.bias is missing"),
        (lambda t: t.update(more=np.zeros(2, np.float32)), "more has no place"),
        (lambda t: t.update({"gen.step": np.zeros(2, np.float32)}), "gen.step has no place"),
        (
            lambda t: t.update({"mlp.model.1.fc.bias": np.zeros(2, np.float32)}),
            "mlp.model.1.fc.bias is [2], expected [6]",
        ),
        (lambda t: t.pop(STEM), f"no {STEM}"),
        (lambda t: t.pop("enc_content.model.2.model.1.model.0.conv.weight"), "is missing"),
    ],
)
def test_weights_that_do_not_fit(folder, change, told):
    changed(folder, change)
    assert told in refused(folder)


def test_two_generators_of_two_shapes(folder):
    def longer(tensors):
        tensors["mlp.model.0.fc.weight"] = np.zeros((6, 4), np.float32)

    changed(folder, longer)
    assert "two shapes" in refused(folder)


@pytest.mark.parametrize("domains", [(), ("a",), ("a", "b", "optimizer")])
def test_files_of_other_state_dicts(tmp_path, domains):
    given = states()
    file = written(tmp_path / "weights.pt", {one: given.get(one, {}) for one in domains})
    assert "expected two state dicts, 'a' and 'b'" in refused(file)


def test_a_file_of_one_state_dict(folder):
    assert "expected two state dicts" in refused(folder / munit.ALONE["a"])


def test_a_folder_without_weights(tmp_path):
    assert "holds neither translation_weights.pt nor" in refused(tmp_path)

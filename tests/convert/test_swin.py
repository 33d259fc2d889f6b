"""Video Swin's names, in and out: prefixes, index buffers, what is missing or has no place."""

import math

import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import rules, swin
from lb_jax.core import errors, paths
from lb_jax.models.swin import VARIANTS, SwinConfig

CFG = SwinConfig(8, (1, 3), (1, 2), window=(2, 2, 3))


def arrays(cfg=CFG, *, index=True):
    """Drawn weights under bare names."""
    rng = np.random.default_rng(0)
    places = rules.places(swin.table(), swin.leaf_shapes(cfg))
    drawn = {
        place.name: rng.standard_normal(place.foreign_shape).astype(np.float32) for place in places
    }
    return {**drawn, **dict(swin.indices(cfg))} if index else drawn


def file(folder, tensors):
    path = folder / "swin.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return path


def load(folder, tensors, window=CFG.window, **options):
    return swin.load(file(folder, tensors), window=window, **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_sizes_are_recognised_by_shapes_alone(variant):
    cfg = VARIANTS[variant]
    places = rules.places(swin.table(), swin.leaf_shapes(cfg))
    shapes = {place.name: place.foreign_shape for place in places}
    assert len(shapes) == 327
    assert len(list(swin.indices(cfg))) == 24
    assert swin.config(shapes, "a file") == cfg
    count = sum(math.prod(shape) for shape in shapes.values())
    assert variant != "Swin-B" or round(count / 1e4) == 8764


@pytest.mark.parametrize(
    "name",
    [
        "backbone.{}",
        "video_encoder.{}",
        "module.{}",
        "module.video_encoder.{}",
        "video_encoder.module.{}",
    ],
)
def test_a_prefix_changes_nothing(tmp_path, name):
    expected = paths.flatten(load(tmp_path, arrays())[1])
    named = {name.format(one): tensor for one, tensor in arrays().items()}
    cfg, params = load(tmp_path, named)
    assert cfg == CFG
    found = paths.flatten(params)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[path], expected[path]) for path in expected)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("theirs", ["", *swin.PREFIXES])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_written_back_every_tensor_is_the_same_bit_by_bit(tmp_path, theirs, index, dtype):
    before = {
        theirs + name: tensor.astype(dtype if tensor.dtype == np.float32 else tensor.dtype)
        for name, tensor in arrays(index=index).items()
    }
    cfg, params = load(tmp_path, before)
    after = dict(swin.named(params, cfg, theirs=theirs, index=index))
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        assert tensor.tobytes() == before[name].tobytes(), name


def test_fused_rows_are_query_key_and_value_in_turn(tmp_path):
    tensors = arrays()
    attention = load(tmp_path, tensors)[1]["stages"]["1"]["blocks"]["attn"]
    fused = tensors["layers.1.blocks.2.attn.qkv.weight"]
    for name, part in zip(("q_proj", "k_proj", "v_proj"), np.split(fused, 3), strict=True):
        np.testing.assert_array_equal(attention[name]["kernel"][2], part.T)


def test_the_rules_take_prefixes_of_paths_and_names():
    shapes = {f"vision.swin/{path}": shape for path, shape in swin.leaf_shapes(CFG).items()}
    places = rules.places(swin.table("vision.swin/", "video_encoder."), shapes)
    assert {place.name for place in places} == {
        f"video_encoder.{one}" for one in arrays(index=False)
    }
    with pytest.raises(errors.CheckpointError, match="has no name"):
        rules.places(swin.table("other/"), shapes)


def test_the_classifier_is_dropped_by_its_name(tmp_path):
    head = {"cls_head.fc_cls.weight": np.zeros((6, 16), np.float32)}
    named = {f"backbone.{name}": tensor for name, tensor in arrays().items()}
    assert load(tmp_path, named | head)[0] == CFG


def test_what_is_missing_or_has_no_place_is_named(tmp_path):
    tensors = arrays()
    tensors["layers.1.blocks.2.norm3.bias"] = tensors.pop("layers.1.blocks.2.norm2.bias")
    with pytest.raises(errors.CheckpointError) as caught:
        load(tmp_path, tensors)
    assert "layers.1.blocks.2.norm2.bias is missing" in str(caught.value)
    assert "layers.1.blocks.2.norm3.bias has no place" in str(caught.value)


def test_a_missing_stage_is_an_error(tmp_path):
    tensors = {n: t for n, t in arrays().items() if not n.startswith("layers.0.blocks.")}
    with pytest.raises(errors.CheckpointError, match="for each stage"):
        load(tmp_path, tensors)


def test_another_window_is_named(tmp_path):
    with pytest.raises(errors.CheckpointError, match="expected 2535 rows for a window of"):
        load(tmp_path, arrays(), swin.WINDOW)
    with pytest.raises(errors.CheckpointError, match="not the index of a window"):
        load(tmp_path, arrays(), (2, 3, 2))  # a table of as many rows
    load(tmp_path, arrays(index=False), (2, 3, 2))  # which nothing in the file tells


def test_weights_of_another_kind_are_named(tmp_path):
    with pytest.raises(errors.CheckpointError, match=r"no patch_embed\.proj\.weight"):
        load(tmp_path, {"visual.conv1.weight": np.zeros((4, 3, 2, 2), np.float32)})


def test_one_tensor_with_and_without_prefix_is_refused(tmp_path):
    named = {f"backbone.{name}": tensor for name, tensor in arrays().items()}
    named["norm.bias"] = named["backbone.norm.bias"]
    with pytest.raises(errors.CheckpointError, match=r"norm\.bias is there twice"):
        load(tmp_path, named)


def test_values_that_are_not_finite_are_named(tmp_path):
    tensors = arrays()
    tensors["norm.weight"][0] = np.nan
    with pytest.raises(errors.CheckpointError, match=r"norm\.weight holds 1 value not finite"):
        load(tmp_path, tensors)


def test_a_file_of_torch_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    state = {f"backbone.{name}": torch.from_numpy(one.copy()) for name, one in arrays().items()}
    torch.save({"state_dict": state, "meta": {"epoch": 3}}, tmp_path / "swin.pth")
    cfg, params = swin.load(tmp_path / "swin.pth", window=CFG.window)
    expected = paths.flatten(load(tmp_path, arrays())[1])
    assert cfg == CFG
    assert all(np.array_equal(one, expected[path]) for path, one in paths.flatten(params).items())

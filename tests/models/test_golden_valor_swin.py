"""VALOR's Video Swin against the reference's numbers (golden README of `valor_swin`)."""

import functools
import json

import jax
import numpy as np
import pytest
from flax import nnx

from lb_jax.convert import swin as convert
from lb_jax.models import swin
from tests import goldens

FOLDERS = sorted(path.parent for path in goldens.FOLDER.glob("valor_swin*/**/io.npz"))
TOLERANCES = {"stem": 1e-5, "stage": 2e-5, "block": 2e-5, "tokens": 1e-5, "pooled": 1e-5}

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not FOLDERS, reason=f"no valor_swin under {goldens.FOLDER}"),
    pytest.mark.parametrize(
        "folder", FOLDERS, ids=lambda path: path.relative_to(goldens.FOLDER).as_posix()
    ),
]


@functools.cache
def settings(folder):
    return json.loads((folder / "config.json").read_text())


def window(folder):
    return tuple(settings(folder)["window_size"])


@functools.cache
def loaded(folder):
    return convert.load(folder / "model.safetensors", window=window(folder))


def encoder(folder, **options):
    """The encoder with the folder's weights."""
    cfg, params = loaded(folder)
    abstract = nnx.eval_shape(lambda: swin.VideoSwin(cfg, rngs=nnx.Rngs(params=0), **options))
    return nnx.merge(nnx.split(abstract)[0], jax.tree.map(jax.numpy.asarray, params))


def cases(folder):
    """Number, shapes of the stages, input channels last and expected arrays of every case."""
    io = np.load(folder / "io.npz")
    for i, case in enumerate(settings(folder)["cases"]):
        arrays = {
            name.removeprefix(f"{i}/"): io[name] for name in io.files if name.startswith(f"{i}/")
        }
        yield i, case["stages"], np.moveaxis(arrays.pop("video"), 2, -1), arrays


def block(stage, i):
    graphdef, state = nnx.split(stage.blocks)
    return nnx.merge(graphdef, jax.tree.map(lambda leaf: leaf[i], state))


def steps(model, video):
    """Every intermediate by the reference's name, block by block."""
    x = model.pre_norm(model.patch_embed(video))
    yield "stem", x
    for s in range(len(model.cfg.depths)):
        stage = model.stages[str(s)]
        fitted, shift = swin.clamp(x.shape[1:4], model.cfg.window)
        for j in range(stage.depth):
            x = block(stage, j)(x, window=fitted, shift=shift if j % 2 else swin.NO_SHIFT)
            yield f"block_{s}_{j}", x
        yield f"stage_{s}_unmerged", x
        x = x if stage.merge is None else stage.merge(x)
        yield f"stage_{s}", x


def require_close(case, found, expected):
    for name, array in found.items():
        tolerance = TOLERANCES[name.split("_")[0]]
        np.testing.assert_allclose(
            array, expected[name], atol=tolerance, rtol=0, err_msg=f"{case}/{name}"
        )


def test_the_shape_follows_from_the_tensors(folder):
    cfg, stated = loaded(folder)[0], settings(folder)
    assert cfg.widths[0] == stated["embed_dim"]
    assert cfg.depths == tuple(stated["depths"])
    assert cfg.heads == tuple(stated["num_heads"])
    assert [swin.FRAMES_PER_PATCH, *[cfg.patch_size] * 2] == stated["patch_size"]
    assert cfg.mlp_ratio == stated["mlp_ratio"]
    assert cfg.drop_path == stated["drop_path_rate"]
    assert stated["mask_value"] == swin.BLOCKED


def test_maps_are_cut_as_the_reference_cuts_them(folder):
    for _, stages, video, _ in cases(folder):
        side = settings(folder)["patch_size"][1]
        size = (video.shape[1], -(-video.shape[2] // side), -(-video.shape[3] // side))
        for stage in stages:
            assert list(size) == stage["map"]
            fitted, shift = swin.clamp(size, window(folder))
            assert list(fitted) == stage["window"]
            assert list(shift) == stage["shift_of_odd_blocks"]
            assert list(swin.padded(size, fitted)) == stage["padded"]
            size = (size[0], -(-size[1] // 2), -(-size[2] // 2))


def test_masks_are_the_reference(folder):
    for i, stages, _, arrays in cases(folder):
        for s, stage in enumerate(stages):
            if f"mask_{s}" in arrays:
                keys = ("padded", "window", "shift_of_odd_blocks")
                mask = swin.shift_mask(*(tuple(stage[key]) for key in keys))
                np.testing.assert_array_equal(mask, arrays[f"mask_{s}"], f"{i}/mask_{s}")


def test_index_buffers_are_the_reference(folder):
    found = convert.tensors.open_tensors(folder / "model.safetensors")
    for name, index in convert.indices(loaded(folder)[0]):
        if name in found:
            np.testing.assert_array_equal(found[name].read(), index)


def test_tokens_and_their_means_are_the_reference(folder):
    graphdef, state = nnx.split(encoder(folder))
    run = jax.jit(lambda state, video: nnx.merge(graphdef, state)(video))
    for i, _, video, arrays in cases(folder):
        require_close(i, run(state, video)._asdict(), arrays)


def test_inside_of_the_encoder_is_the_reference(folder):
    graphdef, state = nnx.split(encoder(folder, attention="head_major"))
    run = jax.jit(lambda state, video: dict(steps(nnx.merge(graphdef, state), video)))
    for i, _, video, arrays in cases(folder):
        inside = [name for name in arrays if name.split("_")[0] in ("stem", "stage", "block")]
        if inside:
            found = run(state, video)
            require_close(i, {name: found[name] for name in inside}, arrays)


def test_written_back_every_tensor_is_the_same_bit_by_bit(folder):
    cfg, params = loaded(folder)
    before = convert.tensors.open_tensors(folder / "model.safetensors")
    has_index = any(name.endswith("relative_position_index") for name in before)
    after = dict(convert.named(params, cfg, index=has_index))
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        assert tensor.tobytes() == before[name].read().tobytes(), name

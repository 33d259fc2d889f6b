"""Leaves read a layer at a time are the leaves read whole."""

import numpy as np
import pytest

from lb_jax.convert import clip, languagebind, parts, weights, write
from lb_jax.convert.sharing import leaf_origins, shared_leaves
from lb_jax.core import paths
from tests.convert import small


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Name -> weights of every kind that can be read."""
    folder = tmp_path_factory.mktemp("layerwise")
    lora = small.languagebind_folder(folder / "depth", "depth")
    video = small.languagebind_folder(folder / "video", "video", small.VIDEO)
    thermal = small.languagebind_folder(folder / "thermal", "thermal")
    found = {
        "LoRA": weights.open_weights(lora),
        "merged LoRA": weights.open_weights(lora, merge_lora=True),
        "time attention": weights.open_weights(video),
        "OpenCLIP": weights.open_weights(small.open_clip_folder(folder / "open_clip")),
        "two towers": weights.open_weights({"depth": lora, "thermal": thermal}),
    }
    for to in ("safetensors", "orbax"):
        write.write(found["two towers"], folder / to, to)
        found[to] = weights.open_weights(folder / to)
    return found


IMAGE = small.arrays(clip.RULES)
KINDS = ("LoRA", "merged LoRA", "time attention", "OpenCLIP", "two towers", "safetensors", "orbax")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [None, np.float16])
def test_layers_are_the_leaf(opened, kind, dtype):
    one = opened[kind]
    for path, name, inside in leaf_origins(one):
        if name == "logit_scale":
            continue
        whole = parts.tower_leaf(one, name, inside, dtype)
        pieces = [
            parts.tower_leaf(one, name, inside, dtype, layer)
            for layer in parts.layers(one, name, inside)
        ]
        again = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
        assert again.dtype == whole.dtype
        np.testing.assert_array_equal(again, whole, err_msg=path)


def test_layers_stored_in_several_types_take_that_of_the_first(tmp_path):
    folder = small.clip_folder(tmp_path)
    name = "vision_model.encoder.layers.1.mlp.fc1.weight"
    small.rewrite(folder, lambda found: found.update({name: found[name].astype(np.float16)}))
    write.write(weights.open_weights(folder), tmp_path / "out", "safetensors")
    leaf = paths.flatten(weights.open_weights(tmp_path / "out").part("base"))[
        "blocks/mlp/fc1/kernel"
    ]
    assert leaf.dtype == np.float32
    expected = IMAGE[name].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(leaf[1], expected.T)


def test_towers_that_differ_in_one_layer_share_no_leaf(tmp_path):
    """Two of three agree, so theirs is the base's; the layer that differs is the last."""
    folders = {
        name: small.write(
            tmp_path / name, IMAGE, languagebind.to_config(name, small.VISION, small.TEXT)
        )
        for name in ("image", "depth", "thermal")
    }
    changed = "vision_model.encoder.layers.1.mlp.fc1.weight"
    small.rewrite(folders["depth"], lambda found: found.update({changed: found[changed] + 1}))
    leaves = dict(shared_leaves(weights.open_weights(folders)))
    kernel = "blocks/mlp/fc1/kernel"
    holders = sorted(path.removesuffix(f"/{kernel}") for path in leaves if path.endswith(kernel))
    assert holders == ["base", "text", "towers/depth"]
    np.testing.assert_array_equal(
        leaves[f"towers/depth/{kernel}"][1], leaves[f"base/{kernel}"][1] + 1
    )

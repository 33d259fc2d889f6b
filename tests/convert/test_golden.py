"""Published formats against the reference's numbers, in and out (golden README)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lb_jax
from lb_jax.convert import limits, source, tensors, weights, write
from lb_jax.core import errors
from lb_jax.models.languagebind import LanguageBind, unit
from tests import goldens

KINDS = ("LanguageBind", "CLIP", "OpenCLIP")
FOLDERS = sorted(
    path.parent for path in goldens.FOLDER.glob("*/io.npz") if any(path.parent.glob("*config.json"))
)
FOLDERS = [
    folder
    for folder in FOLDERS
    if {"vision_pooled", "image_features"} & set(np.load(folder / "io.npz"))
]
TOLERANCE = 2e-5

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not FOLDERS, reason=f"no golden model folders under {goldens.FOLDER}"),
    pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name),
]


@functools.cache
def loaded(folder):
    return lb_jax.load(folder)


def numbers(folder):
    """Input pixels channels last, token ids, and the reference's outputs."""
    io = dict(np.load(folder / "io.npz"))
    pixels = np.moveaxis(io["pixel_values" if "pixel_values" in io else "image"], 1, -1)
    return pixels, io["input_ids" if "input_ids" in io else "text"].astype(np.int32), io


def tower_params(opened, name):
    return jax.tree.map(
        jnp.asarray,
        {
            "base": opened.part("base", np.float32),
            "towers": {name: opened.part(f"towers/{name}", np.float32)},
            "text": opened.part("text", np.float32),
        },
    )


def test_embeddings_are_the_reference(folder):
    model = loaded(folder)
    pixels, ids, io = numbers(folder)
    [name] = model.modalities
    media, text = model.encode(name, pixels), model.encode("text", ids)
    expected = [
        io[f"{side}_{'embeds' if f'{side}_embeds' in io else 'features'}"]
        for side in ("image", "text")
    ]
    np.testing.assert_allclose(media, expected[0], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(text, expected[1], atol=TOLERANCE, rtol=0)
    if "logits_per_image" in io:
        logits = model.logits(name, media, text)
        np.testing.assert_allclose(logits, io["logits_per_image"], atol=1e-3, rtol=1e-5)
    else:
        assert np.exp(model.logit_scale[name]) == pytest.approx(float(io["logit_scale"]), rel=1e-6)


def test_inside_of_the_towers_is_the_reference(folder):
    pixels, ids, io = numbers(folder)
    opened = weights.open_weights(folder)
    [name] = opened.config.towers
    model, params = LanguageBind(opened.config), tower_params(opened, name)
    vision, text = model.apply(params, name, pixels), model.apply(params, "text", ids)
    if "vision_pooled" in io:
        pooled = np.asarray(vision.pooled).reshape(io["vision_pooled"].shape)
        np.testing.assert_allclose(pooled, io["vision_pooled"], atol=TOLERANCE, rtol=1e-5)
        hidden = np.asarray(vision.hidden).reshape(io["vision_last_hidden"].shape)
        np.testing.assert_allclose(hidden, io["vision_last_hidden"], atol=TOLERANCE, rtol=1e-5)
        np.testing.assert_allclose(text.pooled, io["text_pooled"], atol=TOLERANCE, rtol=1e-5)
    else:
        np.testing.assert_allclose(
            vision.embed, io["image_features_raw"], atol=TOLERANCE, rtol=1e-5
        )


def test_batch_of_one_is_batch_of_n(folder):
    model = loaded(folder)
    pixels, ids, _ = numbers(folder)
    for name, x in ((*model.modalities, pixels), ("text", ids)):
        singles = np.concatenate([model.encode(name, one[None]) for one in x])
        np.testing.assert_array_equal(singles, model.encode(name, x))


def test_scanned_is_looped(folder):
    opened = weights.open_weights(folder)
    [name] = opened.config.towers
    pixels, ids, _ = numbers(folder)
    params = tower_params(opened, name)
    scanned, looped = LanguageBind(opened.config), LanguageBind(opened.config, scan=False)
    for tower, x in ((name, pixels), ("text", ids)):
        np.testing.assert_allclose(
            scanned.encode(params, tower, x), looped.encode(params, tower, x), atol=1e-6, rtol=0
        )


def test_written_back_every_tensor_is_the_same_bit_by_bit(folder, tmp_path):
    opened = weights.open_weights(folder)
    [origin] = opened.origin.values()
    to = "open_clip" if origin["kind"] == "OpenCLIP" else "hf"
    write.write(opened, tmp_path / "ours", "safetensors")
    write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "theirs", to)
    before, after = (
        tensors.state_dict(tensors.open_tensors(source.weights_file(one)))
        for one in (folder, tmp_path / "theirs")
    )
    assert set(before) - set(after) == set(opened.ignored)
    assert set(after) <= set(before)
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        assert tensor.read().tobytes() == before[name].read().tobytes(), name


@pytest.mark.parametrize("to", sorted(write.FORMATS))
def test_every_format_computes_the_same(folder, to, tmp_path):
    from lb_jax.convert import verify

    opened = weights.open_weights(folder)
    if limits.obstacles(opened, to):
        with pytest.raises(errors.CheckpointError, match=f"--to={to} cannot hold"):
            write.write(opened, tmp_path / "out", to)
        return
    report = write.write(opened, tmp_path / "out", to)
    assert report.tensors > 0
    assert max(verify.differences(opened, tmp_path / "out", to).values()) <= 1e-6


def test_merged_factors_compute_the_same(folder):
    pixels, _, _ = numbers(folder)
    model = loaded(folder)
    [name] = model.modalities
    if not model.config.towers[name].lora:
        pytest.skip("no factors")
    merged = lb_jax.load(folder, merge_lora=True)
    assert merged.config.towers[name].lora is None
    np.testing.assert_allclose(
        merged.encode(name, pixels), model.encode(name, pixels), atol=TOLERANCE, rtol=0
    )


def test_bfloat16_is_near(folder):
    pixels, _, _ = numbers(folder)
    half, model = lb_jax.load(folder, dtype=jnp.bfloat16), loaded(folder)
    [name] = model.modalities
    assert jax.tree.leaves(half._parameters.part(f"towers/{name}"))[0].dtype == jnp.bfloat16
    cosine = (unit(half.encode(name, pixels)) * model.encode(name, pixels)).sum(-1)
    assert float(cosine.min()) > 0.99

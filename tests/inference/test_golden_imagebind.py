"""The whole ImageBind model as loaded, against the reference's outputs and products."""

import numpy as np
import pytest

import lb_jax
from lb_jax.convert import imagebind as convert
from lb_jax.core.modalities import TEXT
from tests import imagebind

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not imagebind.FILE.is_file(), reason=f"no golden file {imagebind.FILE}"),
]


@pytest.fixture(scope="module")
def model():
    return lb_jax.load(imagebind.FILE, batch_size=2)


def scaled(model, name):
    x, _ = imagebind.ours(name, imagebind.arrays("whole")[name])
    if name == "audio":
        x = x.reshape(len(imagebind.arrays("whole")[name]), -1, *x.shape[1:])
    return model.encode(convert.TOWERS[name][0], x, scaled=True)


@pytest.mark.parametrize("name", convert.TOWERS)
def test_outputs_are_the_reference_s(model, name):
    found, expected = scaled(model, name), imagebind.arrays("whole")[f"{name}_embed"]
    scale = model.output_scale.get(name, 1.0)
    assert np.abs(found / scale - expected / np.float64(scale)).max() <= 5e-6


def test_products_are_the_reference_s(model):
    pairs = [n.split("_")[1:] for n in imagebind.arrays("whole") if n.startswith("softmax_")]
    assert pairs
    for pair in pairs:
        expected = imagebind.arrays("whole")["_".join(["softmax", *pair])]
        a, b = (scaled(model, name).astype(np.float64) for name in pair)
        assert np.abs(softmax(a @ b.T) - expected).max() <= 1e-3


def test_logits_are_the_products_of_single_clips(model):
    """Of unit vectors; a mean of clips is shorter in the reference, and not here."""
    io = imagebind.arrays("whole")
    for one in ("vision", "depth", "thermal", "imu"):
        ours = convert.TOWERS[one][0]
        a, text = (
            model.encode(n, imagebind.ours(t, io[t])[0]) for n, t in ((ours, one), (TEXT, TEXT))
        )
        expected = io[f"{one}_embed"].astype(np.float64) @ io["text_embed"].T
        found = model.logits(ours, a, text)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max() + 1e-2


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)

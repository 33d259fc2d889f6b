"""Every way to compute a step gives the loss and the gradient of the plainest one."""

import re

import jax
import numpy as np
import pytest

from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import recipe
from tests.training import plain_step

ONE, DATA, FSDP, TENSOR, HEADS, MIXED = (
    (1, 1, 1),
    (8, 1, 1),
    (1, 8, 1),
    (1, 1, 8),  # more devices than heads
    (1, 1, 2),
    (2, 2, 2),
)

# Bounds on the relative error of a metric and of each tensor of the gradient, 4 to 10 times what
# was measured: 3e-6 and 6e-6 in float32, 2e-2 and 3e-2 with bfloat16 compute, 3e-3 and 1e-2 with
# frozen parameters stored in bfloat16.
FLOAT32 = (2e-5, 3e-5)
BFLOAT16 = (0.1, 0.15)
FROZEN_BFLOAT16 = (0.02, 0.05)


def assert_equal(found, expected, bounds=FLOAT32):
    (metrics, gradient), (plain_metrics, plain_gradient) = found, expected
    assert metrics.keys() == plain_metrics.keys()
    for name, one in plain_metrics.items():
        np.testing.assert_allclose(metrics[name], one, rtol=bounds[0], err_msg=name)
    for path, error in plain_step.gradient_error(gradient, plain_gradient).items():
        assert error < bounds[1], f"{path}: {error:.1e}"
        assert gradient[path].dtype == np.float32


@pytest.mark.parametrize("shape", [ONE, DATA, FSDP, TENSOR, HEADS, MIXED], ids=str)
def test_devices(shape):
    found = plain_step.as_run("LoRA dropout", plain_step.mesh_of(shape))
    assert_equal(found, plain_step.plain("LoRA dropout"))


@pytest.mark.parametrize("shape", [ONE, DATA], ids=str)
def test_parts_of_a_batch(shape):
    """Patch dropout included: an item drops what it drops in the whole batch."""
    found = plain_step.as_run("binding", plain_step.mesh_of(shape), accumulate=2)
    assert_equal(found, plain_step.plain("binding"))


@pytest.mark.parametrize(
    "name", ["everything trains", "cached texts", "sigmoid", "pictures", "anchors train"]
)
def test_parts_of_a_batch_of_other_runs(name):
    found = plain_step.as_run(name, plain_step.mesh_of((2, 2, 2)), accumulate=4)
    assert_equal(found, plain_step.plain(name))


@pytest.mark.parametrize("shape", [ONE, DATA, FSDP, TENSOR], ids=str)
def test_devices_of_pictures_in_pairs(shape):
    found = plain_step.as_run("pictures", plain_step.mesh_of(shape))
    assert_equal(found, plain_step.plain("pictures"))


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_rematerialisation(remat):
    found = plain_step.as_run("LoRA dropout", plain_step.mesh_of(ONE), remat=remat)
    assert_equal(found, plain_step.plain("LoRA dropout"))


def test_unrolled_layers():
    model = LanguageBind(recipe.build(plain_step.RUNS["LoRA dropout"])[0], scan=False)
    found = plain_step.as_run("LoRA dropout", plain_step.mesh_of(ONE), model)
    assert_equal(found, plain_step.plain("LoRA dropout"))


def test_bfloat16_compute_within_its_bound():
    found = plain_step.as_run("LoRA dropout", plain_step.mesh_of(ONE), dtype="bfloat16")
    assert_equal(found, plain_step.plain("LoRA dropout"), BFLOAT16)


def test_frozen_bfloat16_is_rounding_the_parameters_and_nothing_else():
    mesh = plain_step.mesh_of(ONE)
    gradient, (trainable, frozen, *rest) = plain_step.prepared(
        "LoRA dropout", mesh, frozen_dtype="bfloat16"
    )
    assert frozen["base"]["blocks"]["mlp"]["fc1"]["kernel"].dtype == "bfloat16"
    rounded = jax.tree.map(lambda x: x.astype("float32"), frozen)
    stored, widened = (gradient(trainable, one, *rest) for one in (frozen, rounded))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        *[jax.device_get(one) for one in (stored, widened)],
    )
    (_, metrics), found = stored
    found = jax.device_get((metrics, plain_step.paths.flatten(found)))
    assert_equal(found, plain_step.plain("LoRA dropout"), FROZEN_BFLOAT16)


def test_weights_travel_and_activations_stay():
    """With parameters split over `fsdp` each layer gathers its weights; no activation is summed."""
    gradient, arguments = plain_step.prepared("cached texts", plain_step.mesh_of((2, 4, 1)))
    text = gradient.lower(*arguments).compile().as_text()
    layer = [line for line in text.splitlines() if "while/body" in line and "shard_map" not in line]
    gathered = re.findall(r"= f32\[([\d,]*)\]\S* all-gather\(", "\n".join(layer))
    assert {"64,64", "64,128", "128,64"} <= set(gathered)
    summed = re.findall(r"= (.*?) all-reduce\(", "\n".join(layer))
    ranks = [len(shape.split(",")) for one in summed for shape in re.findall(r"f32\[(.+?)\]", one)]
    assert max(ranks, default=0) <= 2  # gradients of factors and norms

"""The reference's training runs: gradients, losses, temperature and what they end with."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import source, weights
from lb_jax.core import paths
from lb_jax.models.languagebind import LanguageBind, is_shared
from lb_jax.objectives import contrastive
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training import step as step_lib
from tests import goldens

RUNS = sorted(path.parent for path in goldens.FOLDER.glob("*/trajectory.json"))
LOSS, GRADIENT = 1e-4, 1e-4  # absolute at every step; relative per tensor

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not RUNS, reason=f"no golden training runs under {goldens.FOLDER}"),
]


class Run:
    """A run of the reference, and ours over the same batches."""

    def __init__(self, folder):
        self.folder, self.told = folder, json.loads((folder / "trajectory.json").read_text())
        start = folder.parent / self.told["init_from"]
        opened = weights.open_weights(start)
        [self.name] = opened.config.towers
        self.places = source.open_source(start).places
        names = set(self.told["trainable"])
        trained = {self.path(place) for place in self.places if place.name in names}
        params = {
            "towers": {self.name: opened.part(f"towers/{self.name}", np.float32)},
            "text": opened.part("text", np.float32),
            "logit_scale": {
                self.name: np.float32(np.log(1 / self.told["hyper"]["init_temperature"]))
            },
        }
        flat = paths.flatten(jax.tree.map(jnp.asarray, params))
        self.trainable = {path: flat.pop(path) for path in trained}
        tower = f"towers/{self.name}/"
        self.frozen = paths.unflatten(
            {
                f"base/{path.removeprefix(tower)}"
                if path.startswith(tower) and is_shared(path.removeprefix(tower))
                else path: leaf
                for path, leaf in flat.items()
            }
        )
        model = LanguageBind(opened.config)
        loss = step_lib.make_loss(
            step_lib.make_encode(model, {}), step_lib.make_contrast(contrastive.symmetric_infonce)
        )
        self.gradient = jax.value_and_grad(loss, has_aux=True)
        hyper = self.told["hyper"]
        schedule = optimizer_lib.warmup_cosine(
            lr=hyper["lr"], warmup_steps=hyper["warmup_steps"], steps=hyper["total_steps"]
        )
        tree = paths.unflatten(self.trainable)
        optimizer = optimizer_lib.make_optimizer(
            tree, schedule, **{name: hyper[name] for name in ("b1", "b2", "eps", "weight_decay")}
        )
        self.step = jax.jit(step_lib.make_step(self.gradient, optimizer, schedule))
        self.state = step_lib.initial_state(optimizer, tree)

    def path(self, place):
        """The path of a place in the parameters."""
        top, _, inside = place.path.partition("/")
        heads = {"vision": f"towers/{self.name}/{inside}", "text": place.path}
        return heads.get(top, f"logit_scale/{self.name}")

    def batches(self):
        stored = np.load(self.folder / "batches.npz")
        for pixels, ids in zip(stored["pixel_values"], stored["input_ids"], strict=True):
            media = np.moveaxis(pixels, 1, -1)
            yield {self.name: {"media": jnp.asarray(media), "text": jnp.asarray(ids, jnp.int32)}}

    def differences(self, tree, stored):
        """Tensor of the reference -> (ours, theirs), ours in our layout of it."""
        flat = paths.flatten(tree)
        for place in self.places:
            if place.name in stored:
                ours = np.asarray(flat[self.path(place)])
                yield (
                    place.name,
                    ours if place.layer is None else ours[place.layer],
                    place.take(stored[place.name]),
                )


@functools.cache
def run(folder):
    return Run(folder)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_first_gradients_are_the_reference(folder):
    one = run(folder)
    stored = safetensors.numpy.load_file(folder / "grads_step0.safetensors")
    assert set(stored) == set(one.told["trainable"])
    batch, key = next(one.batches()), jax.random.key(0)
    _, found = jax.jit(one.gradient)(one.state["params"], one.frozen, batch, key)
    compared = 0
    for name, ours, theirs in one.differences(found, stored):
        error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
        assert error <= GRADIENT, f"{name}: relative error {error:.1e}"
        compared += 1
    assert compared == len(stored)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_run_follows_the_reference(folder):
    one = run(folder)
    state, told = one.state, one.told
    for number, batch in enumerate(one.batches()):
        state, metrics = one.step(state, one.frozen, batch, jax.random.key(0))
        assert float(metrics["loss"]) == pytest.approx(told["loss"][number], abs=LOSS), number
        assert float(metrics["lr"]) == pytest.approx(told["lr"][number], rel=1e-5, abs=1e-9)
        scale = float(state["params"]["logit_scale"][one.name])
        assert scale == pytest.approx(told["logit_scale_after_step"][number], abs=LOSS), number
    stored = safetensors.numpy.load_file(folder / "trainable_after.safetensors")
    start = {name: ours for name, ours, _ in one.differences(one.state["params"], stored)}
    for name, ours, theirs in one.differences(state["params"], stored):
        moved = np.linalg.norm(theirs - start[name])
        assert np.linalg.norm(ours - theirs) <= 1e-2 * moved, name


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_undecayed_parameters_are_those_of_the_reference(folder):
    one = run(folder)
    ours = {
        place.name
        for place in one.places
        if place.name in one.told["trainable"]
        and not paths.match_one(optimizer_lib.DECAY, one.path(place))
    }
    assert ours == set(one.told["no_decay"])

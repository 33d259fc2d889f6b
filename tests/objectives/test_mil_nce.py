"""NCE and MIL-NCE: the worked numbers, a loop over pairs, and the ring equal to the plain form."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives import contrastive, mil_nce
from lb_jax.training import sharding
from tests.objectives.test_ring import assert_close, mesh_of

BATCH, BAG, EMBED = 16, 3, 8


def of_angles(*degrees):
    radians = np.deg2rad(np.asarray(degrees, np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], -1)


VIDEOS, TEXTS = of_angles(0, 90), of_angles((10, 60), (80, 200))


def value(*given, **options):
    return float(mil_nce.mil_nce(*map(jnp.asarray, given), **options))


def test_worked_numbers_of_the_specification():
    assert value(VIDEOS, TEXTS) == pytest.approx(0.168207, abs=1e-6)
    assert value(VIDEOS, TEXTS, positives="twice") == pytest.approx(0.780783, abs=1e-6)
    there = jnp.array([[True, True], [False, False]])
    found = value(VIDEOS, TEXTS, positives="twice", candidates=there)
    assert found == pytest.approx(0.780738, abs=1e-6)


def test_perfect_pairs_cost_next_to_nothing_or_log_2():
    bags = VIDEOS[:, None]
    assert value(VIDEOS, bags) == pytest.approx(1.25e-6, rel=0.01)
    assert value(VIDEOS, bags, positives="twice") == pytest.approx(0.693148, abs=1e-6)


@functools.cache
def drawn(items=BATCH, bag=BAG):
    rng = np.random.default_rng(0)
    videos = rng.normal(size=(items, EMBED))
    bags = rng.normal(size=(items, bag, EMBED)) + videos[:, None]
    return [
        (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32) for x in (videos, bags)
    ]


def missing():
    """Some videos, some whole bags and some candidates that are not there."""
    rng = np.random.default_rng(1)
    candidates = rng.random((BATCH, BAG)) < 0.7
    candidates[[1, 6, 11]] = False
    return {"present": rng.random(BATCH) < 0.8, "candidates": candidates}


def by_loop(videos, bags, present, candidates, temperature, positives):
    """The formula of section 4.1, term by term."""
    losses = []
    for i in range(len(videos)):
        if not (present[i] and candidates[i].any()):
            continue

        def scores(v, t):
            return sum(
                math.exp(float(videos[v] @ bags[t, k]) / temperature)
                for k in range(bags.shape[1])
                if candidates[t, k] and present[v]
            )

        others = [j for j in range(len(videos)) if j != i]
        own = scores(i, i)
        row, column = (
            sum(scores(*pair(j)) for j in others)
            for pair in (lambda j, i=i: (i, j), lambda j, i=i: (j, i))
        )
        losses.append(
            {
                "once": -math.log(own / (own + row + column)),
                "twice": -math.log(own / (2 * own + row + column)),
                "symmetric": -math.log(own / (own + row)) - math.log(own / (own + column)),
            }[positives]
        )
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("positives", mil_nce.POSITIVES)
def test_plain_form_equals_the_loop(positives):
    videos, bags = drawn()
    everything = {"present": np.ones(BATCH, bool), "candidates": np.ones((BATCH, BAG), bool)}
    for there in (everything, missing()):
        expected = by_loop(videos, bags, **there, temperature=0.2, positives=positives)
        given = {name: jnp.asarray(one) for name, one in there.items()}
        found = value(videos, bags, **given, temperature=0.2, positives=positives)
        assert found == pytest.approx(expected, rel=1e-5)


def test_one_candidate_symmetric_is_twice_infonce():
    videos, bags = drawn(bag=1)
    expected = contrastive.symmetric_infonce(
        jnp.asarray(videos), jnp.asarray(bags[:, 0]), math.log(1 / mil_nce.TEMPERATURE)
    )
    assert value(videos, bags, positives="symmetric") == pytest.approx(
        2 * float(expected), rel=1e-5
    )


def test_filling_a_bag_up_changes_nothing():
    videos, bags = drawn()
    filled = np.concatenate([bags, np.full((BATCH, 2, EMBED), np.nan, np.float32)], axis=1)
    there = jnp.arange(BAG + 2) < BAG
    found = value(videos, filled, candidates=jnp.broadcast_to(there, filled.shape[:2]))
    assert found == pytest.approx(value(videos, bags), rel=1e-6)


@pytest.mark.parametrize("mesh", ["one", "data", "mixed"])
@pytest.mark.parametrize("positives", mil_nce.POSITIVES)
def test_ring_equals_plain_in_value_and_gradient(mesh, positives):
    videos, bags = map(jnp.asarray, drawn())
    plain = functools.partial(mil_nce.mil_nce, positives=positives)
    tiled = mil_nce.make_mil_nce(mesh_of(mesh), 3, positives=positives)
    graded = [jax.jit(jax.value_and_grad(one, argnums=(0, 1))) for one in (tiled, plain)]
    spoilt = missing()
    nowhere = np.where(spoilt["candidates"][..., None], bags, np.nan)
    for options, given in (({}, bags), (spoilt, jnp.asarray(nowhere))):
        found, expected = (one(videos, given, **options) for one in graded)
        assert_close(found, expected, 2e-6)
        assert np.isfinite(jax.tree.leaves(found)[0])


def test_low_temperatures_stay_finite():
    videos, bags = map(jnp.asarray, drawn())
    plain = functools.partial(mil_nce.mil_nce, temperature=0.005)
    tiled = mil_nce.make_mil_nce(mesh_of("data"), 2, temperature=0.005)
    found, expected = (
        jax.jit(jax.value_and_grad(one, argnums=(0, 1)))(videos, bags, **missing())
        for one in (tiled, plain)
    )
    assert_close(found, expected, 2e-5)


def test_missing_text_has_no_gradient_and_its_video_is_still_a_negative():
    videos, bags = map(jnp.asarray, drawn())
    there = jnp.arange(BATCH) < 2
    candidates = jnp.broadcast_to(there[:, None], bags.shape[:2])
    loss = mil_nce.make_mil_nce(mesh_of("data"), 4)
    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    of_videos, of_bags = run(videos, bags, None, candidates)[1]
    assert not np.any(of_bags[2:])
    assert np.all(np.any(of_videos != 0, axis=-1))
    value_of_none, gradient = run(videos, bags, None, jnp.zeros_like(candidates))
    assert value_of_none == 0
    assert all(not np.any(one) for one in gradient)


def test_no_device_holds_all_scores():
    """A quarter of the scores of all items and candidates would not fit."""
    items, bag = 512, 5
    mesh = mesh_of("one")
    batch = sharding.batch_sharding(mesh)
    given = (
        jax.ShapeDtypeStruct((items, EMBED), jnp.float32, sharding=batch),
        jax.ShapeDtypeStruct((items, bag, EMBED), jnp.float32, sharding=batch),
    )
    loss = mil_nce.make_mil_nce(mesh, 32)
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(*given).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < items * items * bag  # bytes, not numbers


def test_terms_are_summed_by_weight():
    found = mil_nce.total({"va": jnp.float32(2), "vt": jnp.float32(3)}, {"va": 1.0, "vt": 10.0})
    assert found == 32


def test_only_one_sided_losses_take_two_presences():
    from lb_jax.objectives import ring

    loss = ring.make_contrastive(mesh_of("one"), "infonce", 4)
    there = jnp.ones(2, bool)
    with pytest.raises(ValueError, match="give present alone"):
        loss(VIDEOS, VIDEOS, 0.0, present=there, column_present=there)

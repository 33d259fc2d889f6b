"""VALOR's losses and updates, as a run computes them, against the reference."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lb_jax.convert import rules
from lb_jax.convert import valor as names
from lb_jax.core import paths
from lb_jax.models.valor import Valor
from lb_jax.training import grouping, optimizer, sharding
from lb_jax.training.grouping import GroupingConfig
from tests import valor as golden

pytestmark = [pytest.mark.golden, golden.needs_folder]

LOSSES = 2e-5
PROMPTS = pytest.mark.parametrize("on", [False, True], ids=["plain", "prompt"])
MLM = tuple(f"mlm_{group}" for group in golden.GROUPS)


def close(found, expected, tolerance=LOSSES):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def key(name, *, on):
    return f"prompt/{name}" if on else name


def mesh():
    return sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])


def batch(**texts):
    inputs = golden.arrays("inputs")
    there = np.ones((len(inputs["text_ids"]), 2), bool)
    return {
        "media": {"video": golden.frames(), "audio": inputs["audio"], "present": there},
        "text": {"caption": inputs["text_ids"], **texts},
    }


def asked(task, ids, targets):
    inputs = golden.arrays("inputs")
    return {task: (inputs[ids], inputs[targets])}


def prompts(*given, on=True):
    return {name: golden.prompt(name, on=True) for name in given if on}


@functools.cache
def jitted(cfg, shape, on, given):
    losses = grouping.make_losses(Valor(shape), cfg, prompts(*given, on=on), mesh())
    return jax.jit(lambda params, batch, asked: losses(params, batch, asked))


def losses(cfg, data, questions, given=(), *, on=True, shape=None, overlays=()):
    """Total and metrics, padding multiplied by 0 as in the reference."""
    shape = shape or golden.config()
    cfg = dataclasses.replace(cfg, mask="zero")
    return jitted(cfg, shape, on, given)(golden.params(shape, *overlays), data, questions)


def pretraining():
    alpha = golden.settings()["alpha"]
    return GroupingConfig(align=golden.GROUPS, caption=golden.GROUPS, alpha=alpha, mask="zero")


@PROMPTS
def test_the_total_of_pretraining_is_the_reference(on):
    questions = asked("caption", "masked_ids", "masked_targets")
    total, found = losses(pretraining(), batch(), questions, ("text", "caption"), on=on)
    expected = golden.arrays("caption_more")
    close(total, expected[f"pt/{key('total', on=on)}"])
    for group in golden.GROUPS:
        close(found[f"loss/align/{group}"], golden.arrays("align")[key(f"loss_{group}", on=on)])
        of_caption = golden.arrays("caption")[key(f"loss_{group}", on=on)]
        close(found[f"loss/caption/{group}"], of_caption)


def test_a_coarse_alignment_is_the_reference():
    cfg, shape = GroupingConfig(align=golden.GROUPS), golden.config(alignment="coarse", fusion=True)
    total, _ = losses(cfg, batch(), {}, on=False, shape=shape, overlays=("weights_coarse",))
    close(total, golden.arrays("align")["coarse/loss_ret_tva_tv_ta"])


def test_masked_words_of_a_text_seen_whole_cost_as_in_the_reference():
    questions = asked("mlm", "mlm_ids", "mlm_targets")
    total, found = losses(GroupingConfig(mlm=golden.GROUPS), batch(), questions, MLM)
    expected = golden.arrays("caption_more")
    close(total, expected["mlm/loss"])
    for group in golden.GROUPS:
        close(found[f"loss/mlm/{group}"], expected[f"mlm/loss_{group}"])


@pytest.mark.parametrize(
    ("way", "name"), [("next", "lm/"), ("doubled", "full/"), ("doubled", "full/prompt/")]
)
def test_other_ways_of_asking_cost_as_in_the_reference(way, name):
    cfg, inputs = GroupingConfig(caption=golden.GROUPS, way=way), golden.arrays("inputs")
    given = golden.settings()["decoder"]
    special = ("vocab_size", "pad_id", "mask_id", "first_word_id")
    vocabulary = grouping.Vocabulary(*(given[one] for one in special))
    drawn = grouping.make_draw(cfg, vocabulary)(
        jax.random.key(0), {"caption": jnp.asarray(inputs["text_ids"])}
    )
    _, found = losses(cfg, batch(), drawn, ("caption",), on="prompt" in name)
    for group in golden.GROUPS:
        close(found[f"loss/caption/{group}"], golden.arrays("caption_more")[f"{name}loss_{group}"])


@PROMPTS
def test_answers_cost_as_in_the_reference(on):
    inputs = golden.arrays("inputs")
    questions = asked("answer", "answer_masked_ids", "answer_targets")
    data = batch(question=inputs["question_ids"])
    total, found = losses(GroupingConfig(answer=golden.GROUPS), data, questions, ("qa",), on=on)
    expected = golden.arrays("qa")
    close(total, expected[key("loss", on=on)])
    for group in golden.GROUPS:
        close(found[f"loss/answer/{group}"], expected[key(f"loss_{group}", on=on)])


def padded(name, fill):
    """Rows of all questions one behind the other as [b, k, ...], filled up."""
    inputs = golden.arrays("inputs")
    counts, rows = inputs["answer_nums"], inputs[name]
    found = np.full((len(counts), counts.max(), *rows.shape[1:]), fill, rows.dtype)
    for i, part in enumerate(np.split(rows, np.cumsum(counts)[:-1])):
        found[i, : len(part)] = part
    return found


@PROMPTS
def test_several_weighted_answers_cost_as_in_the_reference(on):
    questions = {
        "answer": (padded("multi_answer_masked_ids", 0), padded("multi_answer_targets", -1))
    }
    data = batch(
        question=golden.arrays("inputs")["question_ids"],
        answer_weights=padded("multi_answer_weights", 0),
    )
    _, found = losses(GroupingConfig(answer=golden.GROUPS), data, questions, ("qa",), on=on)
    for group in golden.GROUPS:
        expected = golden.arrays("qa")[key(f"multi_loss_{group}", on=on)]
        close(found[f"loss/answer/{group}"], expected)


@functools.cache
def gradient():
    """Of pretraining with prompts, by the ring."""
    found = grouping.make_losses(
        Valor(golden.config()), pretraining(), prompts("text", "caption"), mesh()
    )
    questions = asked("caption", "masked_ids", "masked_targets")
    return jax.jit(jax.grad(lambda params: found(params, batch(), questions)[0]))(
        golden.params(golden.config())
    )


def theirs(tree):
    """A tree of ours by the reference's names."""
    flat, found = paths.flatten(tree), {}
    for place in names.places(golden.config()):
        leaf = flat[place.path] if place.layer is None else flat[place.path][place.layer]
        found.setdefault(place.name, {})[place.part] = place.layout.theirs(np.asarray(leaf))
    return {
        name: np.concatenate([parts[one] for one in sorted(parts)])
        if len(parts) > 1
        else next(iter(parts.values()))
        for name, parts in found.items()
    }


def test_every_gradient_through_the_ring_is_the_reference():
    found = theirs(gradient())
    for name, value in golden.arrays("gradients").items():
        if name.startswith("grad/"):
            name = name.removeprefix("grad/")
            limit = max(1e-4 * np.abs(value).max(), 1e-6)
            ours = found[names.twin(name) or name]
            np.testing.assert_allclose(ours, value, rtol=0, atol=limit, err_msg=name)


def settings():
    return golden.settings()["optimizer"]


def update(params, gradients, schedule, *, clip=0.0, factors=()):
    """`optimizer` over these parameters as VALOR sets it: the state after each gradient."""
    given, (b1, b2) = settings(), settings()["betas"]
    made = optimizer.make_optimizer(
        params,
        schedule,
        b1=b1,
        b2=b2,
        eps=given["eps"],
        weight_decay=given["weight_decay"],
        clip_norm=clip,
        lr_factors=factors,
        kind="valor",
    )
    state, step = made.init(params), jax.jit(made.update)
    for one in gradients:
        updates, state = step(one, state, params)
        params = optax.apply_updates(params, updates)
        yield params


def test_a_run_of_updates_is_the_reference():
    found = golden.arrays("optimizer_trajectory")
    steps, given = len(found["lr"]), settings()
    schedule = optimizer.warmup_linear(
        lr=given["lr"], warmup_steps=given["warmup_ratio"] * steps, steps=steps
    )
    close([schedule(i) for i in range(steps)], found["lr"], 1e-8)
    paths_of = {"decay": "kernel", "plain": "bias"}
    params = {ours: found[f"p_{name}"] for name, ours in paths_of.items()}
    gradients = [
        {ours: found[f"g_{name}"][i] for name, ours in paths_of.items()} for i in range(steps)
    ]
    for i, after in enumerate(update(params, gradients, schedule)):
        for name, ours in paths_of.items():
            close(after[ours], found[f"after_{name}"][i], 1e-6)


def gradients_given():
    """Those of the reference, in our tree; 0 where it has none."""
    shape, given = golden.config(), golden.arrays("gradients")
    zeros = {name: np.zeros_like(one) for name, one in golden.weights().items()}
    found = zeros | {n.removeprefix("grad/"): one for n, one in given.items() if "/" in n}
    wanted = rules.by_path(names.places(shape))
    return paths.unflatten(
        rules.leaves(
            golden.FOLDER,
            {name: golden.lazy(one) for name, one in found.items()},
            {path: (places, np.float32) for path, places in wanted.items()},
        )
    )


@pytest.mark.parametrize("own", [False, True], ids=["stored", "computed"])
def test_one_update_of_the_model_is_the_reference(own):
    given, shape = settings(), golden.config()
    gradients = gradient() if own else gradients_given()
    expected = golden.arrays("optimizer_step")
    norm = optax.tree.norm(gradients)
    np.testing.assert_allclose(norm, expected["grad_norm_before_clip"], rtol=1e-5)
    factors = (
        ("video/.*", given["clip_visual_lr"] / given["lr"]),
        ("logit_scale", given["clip_other_lr"] / given["lr"]),
        (".*", 1.0),
    )
    after = theirs(
        next(
            update(
                golden.params(shape),
                [gradients],
                lambda step: given["lr"],
                clip=given["max_grad_norm"],
                factors=factors,
            )
        )
    )
    for name, value in expected.items():
        if name.startswith("after/"):
            name = name.removeprefix("after/")
            close(after[names.twin(name) or name], value, 2e-5 if own else 1e-6)


def test_what_decays_is_what_decays_in_the_reference():
    told = json.loads((golden.FOLDER / "optimizer_step.json").read_text())["groups"]
    for place in names.places(golden.config()):
        decays = paths.match_one(optimizer.VALOR_DECAY, place.path)
        assert decays == (told[place.name]["weight_decay"] > 0), place

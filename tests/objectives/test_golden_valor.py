"""Alignment and captioning losses against the numbers of VALOR's own code, from given arrays."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives import captioning, contrastive, fine_grained
from lb_jax.objectives.fine_grained import Side
from tests.goldens import FOLDER

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not (FOLDER / "valor").is_dir(), reason=f"no {FOLDER / 'valor'}"),
]
LETTERS = {"t": "text", "v": "video", "a": "audio"}
PROMPTS = ("", "prompt/")
PRETRAINED = ("tva", "tv", "ta")


def arrays(name):
    with np.load(FOLDER / "valor" / f"{name}.npz") as file:
        return dict(file)


def config():
    return json.loads((FOLDER / "valor" / "config.json").read_text("utf-8"))


def numbered(found):
    """Arrays of each case, by the name behind its number."""
    for i in range(int(found["cases"])):
        yield {k.removeprefix(f"{i}/"): v for k, v in found.items() if k.startswith(f"{i}/")}


def test_scores_and_their_gradients():
    for case, one in enumerate(numbered(arrays("score_cases"))):
        given = [one[f"{kind}_{x}"] for x in "ab" for kind in ("feat", "weight_logit")]

        def score(fa, la, fb, lb, one=one):
            rows, columns = Side(fa, one["mask_a"], la), Side(fb, one["mask_b"], lb)
            return fine_grained.score(rows, columns, "zero")

        found, pull = jax.vjp(score, *given)
        np.testing.assert_allclose(found, one["score"], atol=1e-6)
        excluded = fine_grained.score(
            Side(given[0], one["mask_a"], given[1]), Side(given[2], one["mask_b"], given[3])
        )
        assert np.abs(excluded - one["score"]).max() > 1e-3
        if case == 2:  # ties among real parts: the original picks one of them
            continue
        names = [f"grad_{kind}_{x}" for x in "ab" for kind in ("feat", "weight_logit")]
        for name, gradient in zip(names, pull(one["cotangent"]), strict=True):
            np.testing.assert_allclose(gradient, one[name], atol=1e-6, err_msg=name)


def test_contrastive_losses_and_their_gradients():
    for one in numbered(arrays("contrastive")):
        value, gradient = jax.value_and_grad(contrastive.of_scores, (0, 1))(
            one["score"], one["tau"]
        )
        np.testing.assert_allclose(value, one["loss"], atol=1e-5)
        for name, found in zip(("grad_score", "grad_tau"), gradient, strict=True):
            np.testing.assert_allclose(found, one[name], atol=1e-5 * np.abs(one[name]).max())


def given_sides(found, prefix, *, uniform=False):
    text = arrays("inputs")["text_ids"] != config()["decoder"]["pad_id"]
    return {
        name: Side(
            found[f"{prefix}feat_{letter}"],
            text if letter == "t" else np.ones(found[f"{prefix}feat_{letter}"].shape[:2]),
            None if uniform else found[f"{prefix}weight_logit_{letter}"],
        )
        for letter, name in LETTERS.items()
    }


def temperature():
    return np.exp(-arrays("weights")["clip_model.logit_scale"])


@pytest.mark.parametrize("prefix", PROMPTS)
def test_groups(prefix):
    found = arrays("align")
    sides = given_sides(found, prefix)
    losses = {}
    for group in fine_grained.GROUPS:
        rows, columns = fine_grained.sides_of(group, sides)
        scores = fine_grained.early_fusion(rows, columns, "zero")
        np.testing.assert_allclose(scores, found[f"{prefix}score_{group}"], atol=2e-6)
        losses[group] = contrastive.of_scores(scores, temperature())
        np.testing.assert_allclose(losses[group], found[f"{prefix}loss_{group}"], atol=1e-5)
    losses = {group: losses[group] for group in PRETRAINED}
    mean = contrastive.of_groups(losses, dict.fromkeys(losses, len(scores)), 2)
    np.testing.assert_allclose(mean, found[f"{prefix}loss_ret_tva_tv_ta"], atol=1e-5)
    total = config()["alpha"] * mean
    np.testing.assert_allclose(total, found[f"{prefix}loss_pt_tva_tv_ta"], atol=1e-5)


def test_uniform_weights_and_late_fusion():
    found = arrays("align")
    sides = given_sides(found, "", uniform=True)
    for group in PRETRAINED:
        rows, columns = fine_grained.sides_of(group, sides)
        scores = fine_grained.early_fusion(rows, columns, "zero")
        np.testing.assert_allclose(scores, found[f"score_{group}_uniform"], atol=2e-6)
    rows, columns = fine_grained.sides_of("tva", given_sides(found, ""))
    scores = fine_grained.late_fusion(rows, columns, "zero")
    np.testing.assert_allclose(scores, found["score_tva_late"], atol=2e-6)
    loss = contrastive.of_scores(scores, temperature())
    np.testing.assert_allclose(loss, found["loss_tva_late"], atol=1e-5)


def test_coarse_scores():
    found = arrays("align")
    sides = {
        name: fine_grained.whole(jnp.asarray(found[f"coarse/feat_{letter}"]))
        for letter, name in LETTERS.items()
    }
    for group in ("tv", "ta"):
        rows, columns = fine_grained.sides_of(group, sides)
        scores = fine_grained.early_fusion(rows, columns)
        np.testing.assert_allclose(scores, found[f"coarse/score_{group}"], atol=2e-6)
    scores = fine_grained.late_fusion(*fine_grained.sides_of("tva", sides))
    np.testing.assert_allclose(scores, found["coarse/score_tva_late"], atol=2e-6)
    loss = contrastive.of_scores(scores, temperature())
    np.testing.assert_allclose(loss, found["coarse/loss_tva_late"], atol=1e-5)


def test_pretraining_total():
    found = arrays("caption_more")
    for prefix in ("pt/", "pt/prompt/"):
        alignment = found[f"{prefix}contra_loss"] / config()["alpha"]
        total = captioning.total(alignment, found[f"{prefix}caption_loss"], config()["alpha"])
        np.testing.assert_allclose(total, found[f"{prefix}total"], atol=1e-5)


def vocabulary():
    found = config()["decoder"]
    return captioning.Vocabulary(
        found["vocab_size"], found["pad_id"], found["mask_id"], found["first_word_id"]
    )


def groups_of(found, prefix):
    names = (key.removeprefix(f"{prefix}logits_") for key in found)
    return [name for name in names if name in fine_grained.GROUPS]


def assert_losses(found, prefix, targets, *, loss_prefix=None, smoothing=0.0):
    """Losses of all groups that have logits, and their mean where it is given."""
    loss_prefix = prefix if loss_prefix is None else loss_prefix
    losses = {}
    for group in groups_of(found, prefix):
        costs = captioning.cross_entropy(found[f"{prefix}logits_{group}"], targets, smoothing)
        losses[group] = captioning.token_mean(costs, targets)
        np.testing.assert_allclose(losses[group], found[f"{loss_prefix}loss_{group}"], atol=1e-5)
    assert losses
    mean = contrastive.of_groups(losses, dict.fromkeys(losses, len(targets)), 1)
    if f"{loss_prefix}loss" in found:
        np.testing.assert_allclose(mean, found[f"{loss_prefix}loss"], atol=1e-5)


@pytest.mark.parametrize("prefix", PROMPTS)
def test_caption_losses(prefix):
    assert_losses(arrays("caption"), prefix, arrays("inputs")["masked_targets"])


def test_smoothed_losses():
    found = {**arrays("caption"), **arrays("caption_more")}
    targets = arrays("inputs")["masked_targets"]
    assert_losses(found, "", targets, loss_prefix="smooth/", smoothing=0.1)


def test_language_model_and_mlm_losses():
    found, inputs = arrays("caption_more"), arrays("inputs")
    assert_losses(found, "lm/", captioning.next_tokens(inputs["text_ids"], vocabulary().pad))
    assert_losses(found, "mlm/", inputs["mlm_targets"])


@pytest.mark.parametrize(
    ("name", "given"), [("caption_more", "text_ids"), ("qa", "answer_ids")], ids=["text", "answer"]
)
def test_doubled_texts(name, given):
    found = arrays(name)
    ids, targets = captioning.doubled(jnp.asarray(arrays("inputs")[given]), vocabulary())
    np.testing.assert_array_equal(ids, found["full/ids"])
    np.testing.assert_array_equal(targets, found["full/targets"])
    for prefix in ("full/", "full/prompt/"):
        if groups_of(found, prefix):
            assert_losses(found, prefix, targets)


@pytest.mark.parametrize("prefix", PROMPTS)
def test_answer_losses(prefix):
    found, inputs = arrays("qa"), arrays("inputs")
    targets = inputs["answer_targets"]
    losses = {}
    for group in groups_of(found, prefix):
        costs = captioning.cross_entropy(found[f"{prefix}logits_{group}"], targets)
        losses[group] = captioning.sample_mean(costs, targets)
        np.testing.assert_allclose(losses[group], found[f"{prefix}loss_{group}"], atol=1e-5)
    mean = contrastive.of_groups(losses, dict.fromkeys(losses, len(targets)), 1)
    np.testing.assert_allclose(mean, found[f"{prefix}loss"], atol=1e-5)


def test_masked_inputs_are_of_the_kind_that_the_masker_draws():
    inputs, special = arrays("inputs"), vocabulary()
    for text, name, rate in (
        ("text_ids", "masked", "caption"),
        ("text_ids", "mlm", "mlm"),
        ("answer_ids", "answer_masked", "answer"),
    ):
        ids = inputs[text]
        targets = inputs[f"{name.removesuffix('_masked')}_targets"]
        ours = captioning.mask_tokens(
            jax.random.key(0), jnp.asarray(ids), special, captioning.RATES[rate]
        )
        for hidden, asked in ((inputs[f"{name}_ids"], targets), ours):
            hidden, chosen = np.asarray(hidden), np.asarray(asked) != captioning.NO_TARGET
            assert chosen.any(1).all()
            assert not chosen[:, 0].any()
            assert not chosen[ids == special.pad].any()
            np.testing.assert_array_equal(hidden[~chosen], ids[~chosen])
            np.testing.assert_array_equal(np.asarray(asked)[chosen], ids[chosen])

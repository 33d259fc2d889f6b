"""VALOR's encoders, alignment and decoder against the reference's numbers (golden README)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.convert import valor as names
from lb_jax.core import paths
from lb_jax.models import adapt, ast, valor
from lb_jax.models.generation import Decoding
from lb_jax.models.valor import Valor, of_group
from lb_jax.objectives import captioning, contrastive, fine_grained
from lb_jax.objectives.fine_grained import Side
from tests import valor as golden

pytestmark = [pytest.mark.golden, golden.needs_folder]

TOKENS, ALIGNED, LOGITS, SCORES, LOSSES = 2e-5, 1e-5, 5e-5, 5e-5, 2e-5
PROMPTS = pytest.mark.parametrize("on", [False, True], ids=["plain", "prompt"])


def close(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@functools.cache
def model(cross="va_concate", alignment="weighted", fusion=False):
    cfg = golden.config(cross, alignment, fusion=fusion)
    overlays = {"va_concate": ()}.get(cross, (f"weights_{cross}",))
    return Valor(cfg), golden.params(cfg, *overlays, *(("weights_coarse",) if fusion else ()))


def key(name, *, on):
    return f"prompt/{name}" if on else name


@functools.cache
def perceived():
    made, params = model()
    see = jax.jit(lambda params, role, x: made.perceive(params, role, x), static_argnums=1)
    given = {"video": golden.frames(), "audio": golden.arrays("inputs")["audio"]}
    return {role: see(params, role, jnp.asarray(x)) for role, x in given.items()}


@functools.cache
def memory(cross="va_concate"):
    made, params = model(cross)
    return made.hand_over(params, {role: one.tokens for role, one in perceived().items()})


def test_encoders_give_the_tokens_of_the_reference():
    expected = golden.arrays("encoders")
    close(perceived()["video"].tokens, expected["vision_tokens"], TOKENS)
    close(perceived()["audio"].tokens, expected["audio_tokens"], TOKENS)


def test_the_text_encoder_gives_the_tokens_of_the_reference():
    expected = golden.arrays("encoders")
    close(read(on=False).text, expected["text_tokens"], TOKENS)
    close(np.concatenate(read(on=True), axis=1), expected["text_tokens_prompt"], TOKENS)


def test_a_text_is_read_beside_its_prompt():
    made, params = model()
    ids, prompt = golden.arrays("inputs")["text_ids"], golden.prompt("text", on=True)
    found = jax.jit(made.read)(params, ids, prompt=prompt)
    close(found, read(on=True).text, TOKENS)


def test_the_decoder_is_given_what_the_reference_gives():
    expected = golden.arrays("encoders")
    close(memory()["video"], expected["video_input"], TOKENS)
    close(memory()["audio"], expected["audio_input"], TOKENS)


@functools.cache
def read(*, on):
    """Tokens of the text, and with a prompt of the prompt."""
    made, params = model()
    ids, prompt = golden.arrays("inputs")["text_ids"], golden.prompt("text", on=on)
    prompt = None if prompt is None else np.broadcast_to(prompt, (len(ids), len(prompt)))
    return jax.jit(lambda params, *x: made.part(params, "text")(x[0], prompt=x[1]))(
        params, ids, prompt
    )


def aligned(made, params, *, on=False):
    tokens = {"text": read(on=on).text} | {role: one.pooled for role, one in perceived().items()}
    return {role: made.align(params, role, one) for role, one in tokens.items()}


@PROMPTS
def test_features_and_weight_logits_are_the_reference(on):
    expected = golden.arrays("align")
    for role, found in aligned(*model(), on=on).items():
        letter = next(one for one, name in valor.LETTERS.items() if name == role)
        close(found.features, expected[key(f"feat_{letter}", on=on)], ALIGNED)
        close(found.weight_logits, expected[key(f"weight_logit_{letter}", on=on)], ALIGNED)


def test_coarse_features_and_their_fusion_are_the_reference():
    made, params = model(alignment="coarse", fusion=True)
    expected, found = golden.arrays("align"), aligned(made, params)
    for letter, role in valor.LETTERS.items():
        close(found[role].features, expected[f"coarse/feat_{letter}"], ALIGNED)
    both = made.fuse(params, found["video"].features, found["audio"].features)
    close(found["text"].features @ both.T, expected["coarse/score_tva"], ALIGNED)


def test_the_temperature_is_the_inverse_of_clips_scale():
    made, params = model()
    scale = golden.arrays("weights")["clip_model.logit_scale"]
    np.testing.assert_allclose(made.divisor(params), 1 / np.exp(scale), rtol=1e-6)


@functools.cache
def decoder(cross, sight):
    made, params = model(cross)

    @functools.partial(jax.jit, static_argnums=0)
    def write(group, params, memory, ids, prompt):
        return made.write(params, ids, of_group(memory, group), prompt=prompt, sight=sight)

    return functools.partial(write, params=params, memory=memory(cross))


def written(cross, ids, group, *, prompt=None, sight="causal"):
    return decoder(cross, sight)(group, ids=ids, prompt=prompt)


@PROMPTS
@pytest.mark.parametrize("group", golden.GROUPS)
@pytest.mark.parametrize("cross", ["va_concate", "video_audio", "audio_video", "va_parallel"])
def test_caption_logits_are_the_reference(cross, group, on):
    if cross not in golden.settings()["decoder"]["cross_attn_types"]:
        pytest.fail(f"the folder has no {cross}")
    name = "caption" if cross == "va_concate" else f"caption_{cross}"
    prompt = golden.prompt("caption", on=on)
    found = written(cross, golden.arrays("inputs")["masked_ids"], group, prompt=prompt)
    close(found, golden.arrays(name)[key(f"logits_{group}", on=on)], LOGITS)


@pytest.mark.parametrize("group", golden.GROUPS)
def test_logits_of_the_other_tasks_are_the_reference(group):
    inputs, more = golden.arrays("inputs"), golden.arrays("caption_more")
    cross = "va_concate"
    mlm = {"prompt": golden.prompt(f"mlm_{group}", on=True), "sight": "all"}
    close(written(cross, inputs["mlm_ids"], group, **mlm), more[f"mlm/logits_{group}"], LOGITS)
    close(written(cross, inputs["text_ids"], group), more[f"lm/logits_{group}"], LOGITS)
    for on in (False, True):
        full = {"prompt": golden.prompt("caption", on=on), "sight": "slots"}
        expected = more[f"full/{key(f'logits_{group}', on=on)}"]
        close(written(cross, more["full/ids"], group, **full), expected, LOGITS)


@PROMPTS
@pytest.mark.parametrize("group", golden.GROUPS)
def test_answer_logits_are_the_reference(group, on):
    expected = golden.arrays("qa")
    asked = expected[key("prompt_ids", on=on)]
    found = written("va_concate", golden.arrays("inputs")["answer_masked_ids"], group, prompt=asked)
    close(found, expected[key(f"logits_{group}", on=on)], LOGITS)


@functools.cache
def writer():
    made, _ = model()
    params = golden.params(made.cfg, "weights_generate")
    memory = made.hand_over(params, {role: one.tokens for role, one in perceived().items()})

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def write(group, decoding, prompt):
        return made.generate(params, of_group(memory, group), decoding, prompt=prompt)

    return write


@PROMPTS
@pytest.mark.parametrize("group", golden.GROUPS)
@pytest.mark.parametrize(("name", "beams"), [("greedy", 1), ("beam3", 3)])
def test_captions_are_those_of_the_reference(name, beams, group, on):
    expected = golden.arrays("generate")
    ids = expected[key(f"{name}_{group}", on=on)]
    decoding = Decoding(beams=beams, longest=ids.shape[1])
    found = writer()(group, decoding, golden.prompt("caption", on=on))
    np.testing.assert_array_equal(found.ids, ids)
    close(found.scores, expected[key(f"{name}_score_{group}", on=on)], SCORES)
    close(found.log_probs.sum(axis=1), found.scores, SCORES)


@PROMPTS
@pytest.mark.parametrize(("name", "beams"), [("greedy", 1), ("beam3", 3)])
def test_captions_that_are_cut_are_those_of_the_reference(name, beams, on):
    ids = golden.arrays("generate")[key(f"short_{name}_tva", on=on)]
    decoding = Decoding(beams=beams, longest=ids.shape[1])
    found = writer()("tva", decoding, golden.prompt("caption", on=on))
    np.testing.assert_array_equal(found.ids, ids)


@PROMPTS
@pytest.mark.parametrize("group", golden.GROUPS)
def test_answers_are_those_of_the_reference(group, on):
    ids = golden.arrays("generate")[key(f"qa_greedy_{group}", on=on)]
    asked = golden.arrays("qa")[key("prompt_ids", on=on)]
    found = writer()(group, Decoding(beams=1, longest=ids.shape[1]), asked)
    np.testing.assert_array_equal(found.ids, ids)


def test_position_tables_are_resized_as_in_the_reference():
    given = golden.arrays("position_tables")
    table = given["clip_in"]
    side, target = round((len(table) - 1) ** 0.5), int(given["clip_target_grid"])
    found = adapt.resize_positions(table, (side, side), (target, target), "bilinear")
    close(found, given["clip_out"], 1e-6)
    grid = golden.config().audio.grid
    close(ast.resize_published(given["ast_in"], grid), given["ast_out"], 1e-6)


def sides_of(made, aligned, ids):
    """What `fine_grained` compares, by role."""
    masks = {role: jnp.ones(one.features.shape[:2], bool) for role, one in aligned.items()}
    masks["text"] = ids != made.cfg.text.pad
    return {
        role: Side(one.features, masks[role], one.weight_logits) for role, one in aligned.items()
    }


def scored(sides, group):
    """Scores of a group, padding multiplied by 0."""
    return fine_grained.early_fusion(*fine_grained.sides_of(group, sides), mask="zero")


@PROMPTS
def test_scores_and_losses_of_every_group_are_the_reference(on):
    made, params = model()
    sides = sides_of(made, aligned(made, params, on=on), golden.arrays("inputs")["text_ids"])
    expected = golden.arrays("align")
    for group in fine_grained.GROUPS:
        found = scored(sides, group)
        close(found, expected[key(f"score_{group}", on=on)], ALIGNED)
        loss = contrastive.of_scores(found, made.divisor(params))
        close(loss, expected[key(f"loss_{group}", on=on)], LOSSES)


@PROMPTS
@pytest.mark.parametrize("group", golden.GROUPS)
def test_losses_of_captions_and_answers_are_the_reference(group, on):
    inputs, expected = golden.arrays("inputs"), golden.arrays("qa")

    def costs(ids, prompt, targets, **given):
        found = written("va_concate", ids, group, prompt=prompt, **given)
        return captioning.cross_entropy(found, targets)

    targets = inputs["masked_targets"]
    found = costs(inputs["masked_ids"], golden.prompt("caption", on=on), targets)
    loss = captioning.token_mean(found, targets)
    close(loss, golden.arrays("caption")[key(f"loss_{group}", on=on)], LOSSES)
    asked, targets = expected[key("prompt_ids", on=on)], inputs["answer_targets"]
    found = costs(inputs["answer_masked_ids"], asked, targets)
    loss = captioning.sample_mean(found, targets)
    close(loss, expected[key(f"loss_{group}", on=on)], LOSSES)


def total(made, params):
    """The loss of pre-training with prompts: alpha * alignment + captioning."""
    inputs = {name: jnp.asarray(one) for name, one in golden.arrays("inputs").items()}
    prompts = {name: golden.prompt(name, on=True) for name in ("text", "caption")}
    given = {"video": jnp.asarray(golden.frames()), "audio": inputs["audio"]}
    seen = {role: made.perceive(params, role, x) for role, x in given.items()}
    tokens = {role: one.pooled for role, one in seen.items()}
    tokens["text"] = made.read(params, inputs["text_ids"], prompt=prompts["text"])
    found = {role: made.align(params, role, one) for role, one in tokens.items()}
    sides = sides_of(made, found, inputs["text_ids"])
    memory = made.hand_over(params, {role: one.tokens for role, one in seen.items()})
    contrasts, captions = [], []
    for group in golden.GROUPS:
        contrasts.append(contrastive.of_scores(scored(sides, group), made.divisor(params)))
        own = of_group(memory, group)
        logits = made.write(params, inputs["masked_ids"], own, prompt=prompts["caption"])
        costs = captioning.cross_entropy(logits, inputs["masked_targets"])
        captions.append(captioning.token_mean(costs, inputs["masked_targets"]))
    contrast, caption = (sum(losses) / len(losses) for losses in (contrasts, captions))
    return captioning.total(contrast, caption, golden.settings()["alpha"])


def test_every_gradient_of_pretraining_is_the_reference():
    made, params = model()
    loss, gradient = jax.jit(jax.value_and_grad(functools.partial(total, made)))(params)
    expected = golden.arrays("gradients")
    close(loss, expected["loss"], LOSSES)
    flat, found = paths.flatten(gradient), {}
    for place in names.places(made.cfg):
        leaf = flat[place.path] if place.layer is None else flat[place.path][place.layer]
        found.setdefault(place.name, {})[place.part] = place.layout.theirs(np.asarray(leaf))
    for key, value in expected.items():
        name = key.removeprefix("grad/")
        if name == key:
            continue
        parts = found.pop(names.twin(name) or name)
        ours = np.concatenate([parts[one] for one in sorted(parts)]) if len(parts) > 1 else None
        ours = next(iter(parts.values())) if ours is None else ours
        limit = max(1e-4 * np.abs(value).max(), 1e-6)
        np.testing.assert_allclose(ours, value, rtol=0, atol=limit, err_msg=name)
    for name, parts in found.items():  # what the reference gives none
        assert all(np.abs(one).max() == 0 for one in parts.values()), name

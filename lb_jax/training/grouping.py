"""VALOR's losses: texts aligned with groups of modalities, and written from them (spec 3 to 5).

A batch is that of `feed.items`: media and `present` by role, texts by kind. Every encoder runs
once, the decoder once per group, all groups on one draw of the mask. A group's loss is that of the
items which have all its modalities; of what is absent nothing is learnt. Read `TASKS`, then
`make_losses`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.feed import items
from lb_jax.models.valor import Valor, of_group
from lb_jax.objectives import captioning, contrastive, fine_grained, ring
from lb_jax.objectives.captioning import Vocabulary
from lb_jax.objectives.fine_grained import Side
from lb_jax.training import rewarded, sharding
from lb_jax.training.valor_config import REWARDED, GroupingConfig

ALIGN = "align"  # the task that writes nothing
CAPTION, QUESTION, ANSWER = "caption", "question", "answer"  # kinds of text
ANSWER_WEIGHTS = items.ANSWER_WEIGHTS  # beside several answers to each question

Asked = Mapping[str, tuple[jax.Array, jax.Array]]  # task -> ids and targets [b, n] or [b, k, n]
Prompts = Mapping[str, Any]  # name -> int [p], a row of `text.wordpiece.PROMPTS`


class Way(NamedTuple):
    """How the decoder is asked for a text.

    Attributes:
      ask: (key, ids, vocabulary, rate) -> ids and targets.
      sight: a row of `bert.SIGHTS`.
    """

    ask: Callable[..., tuple[jax.Array, jax.Array]]
    sight: str


# VALOR's names of these: unimlm, lm, full_masker (spec 4.1, 4.5).
WAYS = {
    "masked": Way(captioning.mask_tokens, "causal"),
    "next": Way(
        lambda key, ids, words, rate: (ids, captioning.next_tokens(ids, words.pad)), "causal"
    ),
    "doubled": Way(lambda key, ids, words, rate: captioning.doubled(ids, words), "slots"),
    "mlm": Way(captioning.mask_tokens, "all"),
}


class Task(NamedTuple):
    """Something that is written.

    Attributes:
      text: kind of text.
      prompt: the texts of a batch, the prompts of the run, a group -> the prompt; None for none.
      mean: costs and targets -> scalar.
      way: a row of `WAYS` whatever the run says; None takes the run's.
    """

    text: str
    prompt: Callable[[Mapping[str, jax.Array], Prompts, str], Any]
    mean: Callable[[jax.Array, jax.Array], jax.Array]
    way: str | None = None


def _question(texts: Mapping[str, jax.Array], prompts: Prompts, group: str) -> jax.Array:
    """The question as prompt, behind its first token the words of the task (spec 4.7)."""
    asked = texts[QUESTION]
    if "qa" not in prompts:
        return asked
    words = jnp.broadcast_to(jnp.asarray(prompts["qa"]), (len(asked), len(prompts["qa"])))
    return jnp.concatenate([asked[:, :1], words.astype(asked.dtype), asked[:, 1:]], axis=1)


TASKS = {
    "caption": Task(
        CAPTION, lambda texts, prompts, group: prompts.get("caption"), captioning.token_mean
    ),
    "answer": Task(ANSWER, _question, captioning.sample_mean),
    "mlm": Task(
        CAPTION,
        lambda texts, prompts, group: prompts.get(f"mlm_{group}"),
        captioning.token_mean,
        way="mlm",
    ),
}


def way_of(cfg: GroupingConfig, task: str) -> Way:
    """How the decoder is asked in a task."""
    return WAYS[TASKS[task].way or cfg.way]


def is_rewarded(cfg: GroupingConfig, task: str) -> bool:
    """Whether a task is learnt by the reward of what is drawn, so that nothing is asked."""
    return cfg.way == REWARDED and TASKS[task].way is None


def make_draw(cfg: GroupingConfig, vocabulary: Vocabulary):
    """Returns `draw(key, texts) -> Asked`: of every task what is asked, one draw for all groups.

    `texts` are int [b, n] by kind, answers also [b, k, n] of k to a question.
    """

    def draw(key: jax.Array, texts: Mapping[str, jax.Array]) -> dict[str, Any]:
        found = {}
        for number, name in enumerate(cfg.written):
            if is_rewarded(cfg, name):
                continue
            ids = texts[TASKS[name].text]
            rows = ids.reshape(-1, ids.shape[-1])
            of_task = jax.random.fold_in(key, number)
            asked = way_of(cfg, name).ask(of_task, rows, vocabulary, captioning.RATES[name])
            found[name] = tuple(one.reshape(*ids.shape[:-1], -1) for one in asked)
        return found

    return draw


def make_losses(
    model: Valor,
    cfg: GroupingConfig,
    prompts: Prompts,
    mesh: jax.sharding.Mesh,
    reward: rewarded.Reward | None = None,
) -> Callable[..., tuple[jax.Array, dict[str, jax.Array]]]:
    """Returns `losses(params, batch, asked, key) -> (total, metrics)`.

    `asked` is what `make_draw` draws; a key of None runs without dropout. The total is
    alpha * alignment + all that is written, each the mean over the groups that have enough items in
    this batch. Metrics are it, the loss of every group of every task, and the temperature.

    Args:
      model: whose towers have the roles of all groups.
      cfg: tasks and groups.
      prompts: ids of the prompts, by name; those of a task that are not there are none.
      mesh: devices that the batch is spread on.
      reward: of captions, where they are learnt by it; they need a key.
    """
    contrast = ring.make_contrastive(
        mesh,
        "infonce",
        cfg.tile,
        functools.partial(fine_grained.FUSIONS[cfg.fusion], mask=cfg.mask),
    )
    constrain = functools.partial(
        jax.lax.with_sharding_constraint, shardings=sharding.batch_sharding(mesh)
    )

    def losses(params, batch, asked: Asked, key: jax.Array | None = None):
        media, texts = batch["media"], batch["text"]
        roles = [role for role in model.roles if role in media]
        items_there = dict(zip(roles, media[items.PRESENT].T, strict=True))
        present = {TEXT: jnp.ones(len(media[items.PRESENT]), bool), **items_there}
        keys = _Keys(key)
        options = {"constrain": constrain}
        seen = {
            role: model.perceive(params, role, media[role], key=keys.next(), **options)
            for role in roles
            if role in cfg.roles
        }
        divisor = model.divisor(params)
        found, metrics = {}, {"temperature": divisor}

        def add(task: str, each: dict[str, jax.Array], at_least: int) -> None:
            valid = {group: fine_grained.together(group, present).sum() for group in each}
            found[task] = contrastive.of_groups(each, valid, at_least)
            metrics.update({f"loss/{task}/{group}": one for group, one in each.items()})

        if cfg.align:
            tokens = {role: one.pooled for role, one in seen.items()}
            prompt = prompts.get("text")
            tokens[TEXT] = model.read(
                params, texts[CAPTION], prompt=prompt, key=keys.next(), **options
            )
            sides = _sides(model, params, tokens, texts[CAPTION])
            each = {}
            for group in cfg.align:
                there = fine_grained.together(group, present)
                rows, columns = _compared(model, params, group, sides)
                each[group] = contrast(rows, columns, -jnp.log(divisor), present=there)
            add(ALIGN, each, 2)
        tokens = {role: one.tokens for role, one in seen.items()} if cfg.written else {}
        memory = model.hand_over(params, tokens)
        for name, groups in cfg.written.items():
            task, each = TASKS[name], {}
            if is_rewarded(cfg, name):
                for group in groups:
                    each[group] = rewarded.loss(
                        model,
                        params,
                        of_group(memory, group),
                        texts[items.ITEM],
                        fine_grained.together(group, present),
                        reward,
                        longest=texts[task.text].shape[1] - 1,
                        prompt=task.prompt(texts, prompts, group),
                        key=keys.next(),
                    )
                add(name, each, 1)
                continue
            ids, targets = asked[name]
            several = ids.shape[1] if ids.ndim == 3 else 1
            ids, targets = (one.reshape(-1, one.shape[-1]) for one in (ids, targets))
            for group in groups:
                there = fine_grained.together(group, present)
                prompt = task.prompt(texts, prompts, group)
                if several > 1 and getattr(prompt, "ndim", 1) == 2:
                    prompt = _again(prompt, several)
                own = captioning.of_present(targets, _again(there, several))
                logits = model.write(
                    params,
                    ids,
                    {role: _again(one, several) for role, one in of_group(memory, group).items()},
                    prompt=prompt,
                    sight=way_of(cfg, name).sight,
                    key=keys.next(),
                    **options,
                )
                costs = captioning.cross_entropy(logits, own, cfg.smoothing)
                each[group] = task.mean(costs, own)
                if name == "answer" and ANSWER_WEIGHTS in texts:
                    weights = texts[ANSWER_WEIGHTS].reshape(-1)
                    questions = jnp.maximum(there.sum(), 1)
                    each[group] = captioning.weighted_answers(costs, own, weights, questions)
            add(name, each, 1)
        total = captioning.total(
            found.pop(ALIGN, jnp.float32(0)), sum(found.values(), jnp.float32(0)), cfg.alpha
        )
        return total, {"loss": total, **metrics}

    return losses


def make_loss(draw: Callable, losses: Callable):
    """Returns `loss(trainable, frozen, batch, key) -> (scalar, metrics)` of a batch of `Items`."""

    def loss(trainable, frozen, batch, key: jax.Array):
        params, of_mask, of_dropout = paths.overlay(frozen, trainable), *jax.random.split(key)
        batch = batch[items.NAME]
        return losses(params, batch, draw(of_mask, batch["text"]), of_dropout)

    return loss


class _Keys:
    """A key for each part that drops something; None for all where there is none."""

    def __init__(self, key: jax.Array | None):
        self._key, self._count = key, 0

    def next(self) -> jax.Array | None:
        self._count += 1
        return None if self._key is None else jax.random.fold_in(self._key, self._count)


def _sides(
    model: Valor, params: paths.Tree, tokens: Mapping[str, jax.Array], ids: jax.Array
) -> dict[str, Side]:
    """What is compared, by role."""
    found = {}
    for role, one in tokens.items():
        aligned = model.align(params, role, one)
        if aligned.features.ndim == 2:  # a coarse alignment's
            found[role] = fine_grained.whole(aligned.features)
            continue
        there = jnp.ones(one.shape[:2], bool) if role != TEXT else ids != model.cfg.text.pad
        found[role] = Side(aligned.features, there, aligned.weight_logits)
    return found


def _compared(
    model: Valor, params: paths.Tree, group: str, sides: Mapping[str, Side]
) -> tuple[Side, tuple[Side, ...]]:
    """Rows and columns of a group; one column where the model has a layer that fuses the two."""
    rows, columns = fine_grained.sides_of(group, sides)
    if model.cfg.alignment == "coarse" and model.cfg.fusion and len(columns) > 1:
        columns = (
            fine_grained.whole(model.fuse(params, *(one.features[:, 0] for one in columns))),
        )
    return rows, columns


def _again(x: jax.Array, times: int) -> jax.Array:
    """Every row so many times, one behind the other: [b, ...] -> [b k, ...]."""
    return rearrange(repeat(x, "b ... -> b k ...", k=times), "b k ... -> (b k) ...")

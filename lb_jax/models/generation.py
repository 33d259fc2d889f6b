"""Captions word by word: greedy, beam search and sampling as one compiled loop.

VALOR spec 5.2. The decoder is given [begin] y1 … y(t-1) [mask] and read at the mask. A word never
sees what comes after it, so its keys and values are kept and each step runs two tokens of every
beam: the newest word, which is kept, and the mask, which is not. Keys and values of the prompt and
of what is seen and heard are computed once for an item, whatever its beams. Those of words are
never moved when beams change places: each beam knows in whose place its earlier words lie.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange

from lb_jax.core import errors
from lb_jax.models import stack
from lb_jax.models.bert import HIDDEN, Bert, BertBlock
from lb_jax.models.layers import KeysValues, Part

IMPOSSIBLE = -jnp.inf
MOST_BEAMS = 64


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How words are chosen; the defaults are the published ones for captions.

    Attributes:
      beams: texts that are followed at a time; 1 is greedy.
      longest: most tokens, the end included.
      shortest: least words before the end.
      length_penalty: texts are compared by log-probability / length ** this.
      no_repeat_ngram: no run of so many tokens comes twice; 0 allows all.
      temperature: logits are divided by it where words are drawn.
    """

    beams: int = 3
    longest: int = 30
    shortest: int = 0
    length_penalty: float = 0.0
    no_repeat_ngram: int = 0
    temperature: float = 1.0

    def __post_init__(self):
        for name, least in (("beams", 1), ("longest", 1), ("shortest", 0), ("no_repeat_ngram", 0)):
            if getattr(self, name) < least:
                raise errors.ConfigError(
                    f"{name} is {getattr(self, name)}; give a whole number from {least} on."
                )
        if self.beams > MOST_BEAMS:
            raise errors.ConfigError(
                f"beams is {self.beams}; give at most {MOST_BEAMS}, each of which takes memory."
            )
        if not math.isfinite(self.length_penalty):
            raise errors.ConfigError(
                f"length_penalty is {self.length_penalty}; give a finite number, 0 for none."
            )
        if self.shortest >= self.longest:
            raise errors.ConfigError(
                f"shortest is {self.shortest} and longest {self.longest}, the end included; give a "
                "longest above it."
            )
        if not self.temperature > 0:
            raise errors.ConfigError(
                f"temperature is {self.temperature}; give a number above 0, and 1 beam without "
                "sampling for the likeliest words."
            )


class Generated(NamedTuple):
    """What was written.

    Attributes:
      ids: int32 [b, longest], filled with the end token after the first one.
      scores: float32 [b], sum of the log-probabilities up to and including the end token.
      log_probs: float32 [b, longest], of each token, 0 behind the end.
    """

    ids: jax.Array
    scores: jax.Array
    log_probs: jax.Array


class _Kept(NamedTuple):
    """Of every layer [l, …]: keys and values that stay as they are while a text grows."""

    prompt: KeysValues
    memory: dict[str, KeysValues]


class _State(NamedTuple):
    """What a step changes; k beams, r = longest.

    Attributes:
      step: int, number of tokens there are.
      ids, log_probs: [b, k, r].
      scores: [b, k], sums of log-probabilities.
      lengths: int [b, k], up to and including the end token.
      finished: bool [b, k].
      places: int [b, k, r]: in which beam's place the keys of a beam's earlier inputs lie.
      words: keys and values of inputs, [l, b, h, r k, c], the places of an input side by side.
    """

    step: jax.Array
    ids: jax.Array
    log_probs: jax.Array
    scores: jax.Array
    lengths: jax.Array
    finished: jax.Array
    places: jax.Array
    words: KeysValues


def generate(
    bert: Bert,
    memory: Mapping[str, jax.Array],
    decoding: Decoding,
    *,
    prompt: jax.Array | None = None,
    key: jax.Array | None = None,
) -> Generated:
    """Writes a text for every item; to be called inside `jax.jit`.

    Args:
      bert: the decoder.
      memory: role -> what is attended to, [b, m, d].
      decoding: how.
      prompt: int [b, p], padded; None for none.
      key: to draw words by their probability; takes one beam. None searches for the likeliest.

    Raises:
      ConfigError: for texts longer than the decoder has positions, or drawing with several beams.
    """
    bert.require_positions(decoding.longest + 1)
    if key is not None and decoding.beams > 1:
        raise errors.ConfigError(
            f"{decoding.beams} beams where words are drawn; choose 1 beam, or search without "
            "drawing."
        )
    items = len(next(iter(memory.values())))
    kept, prompt_bias = _prefill(bert, memory, prompt, items)

    def body(state: _State) -> _State:
        hidden, words = _run(bert, state, kept, prompt_bias)
        state = state._replace(words=words)
        drawn = None if key is None else jax.random.fold_in(key, state.step)
        return _advance(bert, state, bert.logits(hidden), decoding, drawn)

    def goes_on(state: _State) -> jax.Array:
        return (state.step < decoding.longest) & ~_is_done(state, decoding).all()

    last = jax.lax.while_loop(goes_on, body, _start(bert, items, decoding))
    return Generated(last.ids[:, 0], last.scores[:, 0], last.log_probs[:, 0])


def _start(bert: Bert, items: int, decoding: Decoding) -> _State:
    cfg, k, r = bert.cfg, decoding.beams, decoding.longest
    shape = (cfg.depth, items, cfg.heads, r * k, cfg.width // cfg.heads)
    empty = jnp.zeros(shape, bert.dtype)
    first = jnp.where(jnp.arange(k) == 0, 0.0, IMPOSSIBLE)  # all beams would begin the same
    return _State(
        step=jnp.int32(0),
        ids=jnp.full((items, k, r), cfg.end, jnp.int32),
        log_probs=jnp.zeros((items, k, r)),
        scores=jnp.broadcast_to(first, (items, k)),
        lengths=jnp.zeros((items, k), jnp.int32),
        finished=jnp.zeros((items, k), bool),
        places=jnp.zeros((items, k, r), jnp.int32),
        words=KeysValues(empty, empty),
    )


def _is_done(state: _State, decoding: Decoding) -> jax.Array:
    """bool [b]: nothing that is still to come can win."""
    if decoding.length_penalty:
        return state.finished.all(axis=1)
    return state.finished[:, 0]  # sums of log-probabilities only fall, and the first is the best


def _prefill(
    bert: Bert, memory: Mapping[str, jax.Array], prompt: jax.Array | None, items: int
) -> tuple[_Kept, jax.Array]:
    """Runs the prompt, which sees itself alone, and keeps what words will see.

    Returns:
      What is kept, and what words add to their scores of the prompt, [b, 1, 1, p].
    """
    joined = bert.joined(memory)
    prompt = jnp.zeros((items, 0), jnp.int32) if prompt is None else prompt
    bert.require_positions(prompt.shape[1])
    hidden = jnp.where(prompt == bert.cfg.pad, HIDDEN, 0.0)
    bias = rearrange(hidden, "b p -> b 1 1 p")

    def visit(block: BertBlock, x: jax.Array, _: Any) -> tuple[jax.Array, _Kept]:
        own = block.attn.keys_values(x)
        seen = {
            name: getattr(block, f"{name}_attn").keys_values(one) for name, one in joined.items()
        }
        if prompt.shape[1]:
            x = block.step(x, [(own, bias)], seen)
        return x, _Kept(own, seen)

    _, kept = stack.visit_stack(bert.blocks, bert.embed_prompt(prompt), visit)
    return kept, bias


def _run(
    bert: Bert, state: _State, kept: _Kept, prompt_bias: jax.Array
) -> tuple[jax.Array, KeysValues]:
    """Runs the newest input and the mask of every beam.

    Returns:
      The last layer at the mask, [b, k, d], and the words' keys and values with the new ones.
    """
    cfg, (items, k, r) = bert.cfg, state.ids.shape
    begin = jnp.full((items, k, 1), cfg.begin, jnp.int32)
    inputs = jnp.concatenate([begin, state.ids[..., :-1]], axis=-1)  # [b, k, r]
    newest = jax.lax.dynamic_index_in_dim(inputs, state.step, 2, keepdims=False)  # [b, k]
    masks = jnp.full_like(newest, cfg.mask)
    x = bert.embed(
        jnp.stack([newest, masks], axis=-1), jnp.stack([state.step, state.step + 1])
    )  # [b, k, 2, d]
    x = rearrange(x, "b k two d -> b (two k) d")

    # what is earlier, at the places a beam's own inputs have; padding is no word, drawn or not
    is_word = (inputs != cfg.pad) & (jnp.arange(r) < state.step)  # [b, k, r]
    earlier = (state.places[..., None] == jnp.arange(k)) & is_word[..., None]  # [b, k, r, k]
    earlier = jnp.tile(rearrange(earlier, "b k r j -> b 1 k (r j)"), (1, 1, 2, 1))
    earlier = jnp.where(earlier, 0.0, HIDDEN)
    same = jnp.eye(k, dtype=bool)
    fresh = jnp.block([[same, jnp.zeros_like(same)], [same, same]])  # a word sees no mask
    is_word = jnp.concatenate([newest != cfg.pad, jnp.ones_like(newest, bool)], axis=-1)
    fresh = jnp.where(fresh & rearrange(is_word, "b j -> b 1 1 j"), 0.0, HIDDEN)

    def visit(block: BertBlock, x: jax.Array, row: Any) -> tuple[jax.Array, KeysValues]:
        words, kept = row
        new = block.attn.keys_values(x)
        parts: list[Part] = [(words, earlier), (new, fresh)]
        if kept.prompt.keys.shape[2]:
            parts.append((kept.prompt, prompt_bias))
        return block.step(x, parts, kept.memory), KeysValues(*(one[:, :, :k] for one in new))

    x, new = stack.visit_stack(bert.blocks, x, visit, (state.words, kept))
    words = KeysValues(
        *(
            jax.lax.dynamic_update_slice_in_dim(old, one, state.step * k, axis=3)
            for old, one in zip(state.words, new, strict=True)
        )
    )
    return x[:, k:], words


def _advance(
    bert: Bert, state: _State, logits: jax.Array, decoding: Decoding, key: jax.Array | None
) -> _State:
    """Chooses the beams with one token more.

    Args:
      bert: the decoder.
      state: with the keys of the newest inputs.
      logits: [b, k, v] of the next token.
      decoding: how.
      key: to draw.
    """
    cfg, (items, k, _) = bert.cfg, state.ids.shape
    if key is not None:
        logits = logits / decoding.temperature
    log_probs = jax.nn.log_softmax(logits)
    at_end = jnp.arange(cfg.vocab) == cfg.end
    if decoding.shortest:
        log_probs = jnp.where(at_end & (state.step < decoding.shortest), IMPOSSIBLE, log_probs)
    if decoding.no_repeat_ngram:
        banned = _repeats(state, decoding.no_repeat_ngram, cfg.vocab)
        log_probs = jnp.where(banned & ~at_end, IMPOSSIBLE, log_probs)
    # a text that has ended goes on in one way, which costs nothing
    ended = jnp.where(at_end, 0.0, IMPOSSIBLE)
    log_probs = jnp.where(state.finished[..., None], ended, log_probs)
    totals = state.scores[..., None] + log_probs  # [b, k, v]

    lengths = jnp.where(state.finished, state.lengths, state.step + 1)
    ranks = totals / lengths[..., None] ** decoding.length_penalty
    if key is not None:
        ranks = log_probs + jax.random.gumbel(key, log_probs.shape)
    _, chosen = jax.lax.top_k(rearrange(ranks, "b k v -> b (k v)"), k)  # [b, k]
    parents, tokens = chosen // cfg.vocab, (chosen % cfg.vocab).astype(jnp.int32)

    def of_parent(x: jax.Array) -> jax.Array:
        index = parents.reshape(items, k, *([1] * (x.ndim - 2)))
        return jnp.take_along_axis(x, index, axis=1)

    def chosen_of(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(rearrange(x, "b k v -> b (k v)"), chosen, axis=1)

    def put(x: jax.Array, new: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(of_parent(x), new[..., None], state.step, axis=2)

    return _State(
        step=state.step + 1,
        ids=put(state.ids, tokens),
        log_probs=put(state.log_probs, chosen_of(log_probs)),
        scores=chosen_of(totals),
        lengths=of_parent(lengths),
        finished=of_parent(state.finished) | (tokens == cfg.end),
        places=put(state.places, parents),
        words=state.words,
    )


def _repeats(state: _State, n: int, vocab: int) -> jax.Array:
    """bool [b, k, v]: tokens that would make the last n tokens a run that was there before."""
    r = state.ids.shape[-1]
    if n > r:
        return jnp.zeros((*state.ids.shape[:2], vocab), bool)
    starts = jnp.arange(r - n + 1)
    runs = state.ids[..., starts[:, None] + jnp.arange(n)]  # [b, k, starts, n]
    recent = jnp.maximum(state.step - n + 1, 0) + jnp.arange(n - 1)
    recent = jnp.take(state.ids, recent, axis=2)  # [b, k, n - 1]
    is_same = (runs[..., :-1] == recent[:, :, None]).all(axis=-1)
    was_there = starts + n <= state.step  # nothing of it is still to come
    last = jax.nn.one_hot(runs[..., -1], vocab, dtype=bool)  # [b, k, starts, v]
    return ((is_same & was_there)[..., None] & last).any(axis=2)

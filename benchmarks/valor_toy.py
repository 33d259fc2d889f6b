"""Learns a small world of pictures and tones, and says how well (VALOR spec 8.3).

    python benchmarks/valor_toy.py [--steps 300] [--only grouped tva half]

8 patterns x 8 tones are 64 items; a text names both. Runs: `grouped` learns to align and to write
all three groups, `tva` that one alone, `half` is `grouped` with half of the sound taken away. Each
prints its figures beside what they are to reach. Words are counted from 1,500 steps on: the decoder
is not done before. Everything is drawn in memory; about 1 minute a run of 300 steps on 2 cores.
"""

import argparse
import json
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.models.ast import ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.generation import Decoding
from lb_jax.models.valor import Valor, ValorConfig, of_group
from lb_jax.models.vision import VisionConfig
from lb_jax.objectives import fine_grained
from lb_jax.objectives.captioning import Vocabulary
from lb_jax.training import grouping, optimizer, sharding, step
from lb_jax.training.grouping import GroupingConfig

KINDS, FRAMES, SIZE, BATCH, NOISE = 8, 2, 32, 32, 0.3
MELS, TIMES = 64, 512
PAD, BEGIN, END, MASK, JOIN, FIRST = range(6)  # JOIN stands before the two words
WORDS = FIRST + 2 * KINDS
GROUPS = ("tva", "tv", "ta")
WORDS_AFTER = 1500  # steps after which words are counted
MODEL = ValorConfig(
    BertConfig(
        *(64, 2, 4, 128),
        vocab=WORDS,
        context=16,
        cross="va_concate",
        dropout=0.0,
        begin=BEGIN,
        end=END,
        mask=MASK,
    ),
    VisionConfig(64, 2, 4, 128, patch_size=8, image_size=(SIZE, SIZE), embed_dim=0),
    ast_config(64, 2, 4, 128, image_size=(MELS, TIMES), patch_size=16),
    embed_dim=16,
)


class Run(NamedTuple):
    """What is learnt: the groups, and the share of items that sound."""

    groups: tuple[str, ...] = GROUPS
    sound: float = 1.0


RUNS = {"grouped": Run(), "tva": Run(groups=("tva",)), "half": Run(sound=0.5)}


def world() -> tuple[np.ndarray, np.ndarray]:
    """The patterns [k, h, w, 3] and the tones [k, mel, time], without noise."""
    draw = np.random.default_rng(0)
    patterns = draw.standard_normal((KINDS, 4, 4, 3)).repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)
    tones = np.zeros((KINDS, MELS, TIMES))
    for kind in range(KINDS):
        tones[kind, kind * MELS // KINDS : (kind + 1) * MELS // KINDS] = 2.0
    return patterns.astype(np.float32), tones.astype(np.float32)


def items(draw: np.random.Generator, numbers: np.ndarray, sound: float = 1.0) -> dict:
    """The batch of these items, each pattern and tone with new noise."""
    patterns, tones = world()
    seen, heard = numbers // KINDS, numbers % KINDS
    video = patterns[seen][:, None].repeat(FRAMES, 1)
    video = video + NOISE * draw.standard_normal(video.shape, np.float32)
    audio = tones[heard][:, None]
    audio = audio + NOISE * draw.standard_normal(audio.shape, np.float32)
    sounds = draw.random(len(numbers)) < sound
    audio[~sounds] = 0
    there = np.stack([np.ones_like(sounds), sounds], axis=1)
    row = np.full(len(numbers), 1)
    text = np.stack(
        [BEGIN * row, JOIN * row, FIRST + seen, FIRST + KINDS + heard, END * row], axis=1
    )
    media = {"video": video, "audio": audio, "present": there}
    return {"items": {"media": media, "text": {"caption": text.astype(np.int32)}}}


def train(run: Run, steps: int, at: dict) -> None:
    """Learns, and calls `at[n](params)` after n steps."""
    model = Valor(MODEL)
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    cfg = GroupingConfig(align=run.groups, caption=run.groups)
    loss = grouping.make_loss(
        grouping.make_draw(cfg, Vocabulary(WORDS, PAD, MASK, JOIN)),
        grouping.make_losses(model, cfg, {}, mesh),
    )
    params = model.init(jax.random.key(0))
    schedule = optimizer.warmup_linear(lr=1e-3, warmup_steps=0.1 * steps, steps=steps)
    options = {"b1": 0.9, "b2": 0.98, "eps": 1e-6, "weight_decay": 0.01, "clip_norm": 5.0}
    updates = optimizer.make_optimizer(params, schedule, **options, kind="valor")
    gradient = jax.value_and_grad(loss, has_aux=True)
    update = jax.jit(
        step.make_step(gradient, updates, schedule, bound=lambda params: params), donate_argnums=0
    )
    state, key = step.initial_state(updates, params), jax.random.key(1)
    draw = np.random.default_rng(1)
    for number in range(1, steps + 1):
        numbers = draw.permutation(KINDS**2)[:BATCH]
        state, _ = update(state, {}, items(draw, numbers, run.sound), key)
        if number in at:
            at[number](jax.device_get(state["params"]))


def retrieval(params) -> tuple[dict[str, float], float]:
    """R@1 of each group among all items with new noise, and how often ta finds the right tone."""
    model, batch = Valor(MODEL), everything()

    @jax.jit
    def scores(params):
        media, ids = batch["media"], batch["text"]["caption"]
        sides = {}
        for role in ("text", "video", "audio"):
            if role == "text":
                tokens, there = model.read(params, ids), ids != PAD
            else:
                tokens = model.perceive(params, role, media[role]).pooled
                there = jnp.ones(tokens.shape[:2], bool)
            found = model.align(params, role, tokens)
            sides[role] = fine_grained.Side(found.features, there, found.weight_logits)
        return {
            group: fine_grained.early_fusion(*fine_grained.sides_of(group, sides))
            for group in GROUPS
        }

    own = np.arange(KINDS**2)
    first = {group: one.argmax(1) for group, one in jax.device_get(scores(params)).items()}
    recall = {group: float((one == own).mean()) for group, one in first.items()}
    return recall, float((first["ta"] % KINDS == own % KINDS).mean())


def words(params) -> dict[str, tuple[float, float]]:
    """Share of the words of what is seen and of what is heard that are right, for each group."""
    model, batch = Valor(MODEL), everything()

    @jax.jit
    def written(params):
        tokens = {
            role: model.perceive(params, role, batch["media"][role]).tokens
            for role in ("video", "audio")
        }
        memory = model.hand_over(params, tokens)
        decoding = Decoding(beams=3, longest=6)
        return {
            group: model.generate(params, of_group(memory, group), decoding).ids for group in GROUPS
        }

    text = batch["text"]["caption"]
    return {
        group: tuple(float((ids[:, at] == text[:, at + 1]).mean()) for at in (1, 2))
        for group, ids in jax.device_get(written(params)).items()
    }


def everything() -> dict:
    """All items, with noise that no run has met."""
    return items(np.random.default_rng(2), np.arange(KINDS**2))["items"]


def told(name: str, value: float, least: float, most: float = 1.0) -> None:
    verdict = "reached" if least <= value <= most else "MISSED"
    print(f"  {name:32}{value:6.3f}   {least:.2f} to {most:.2f}   {verdict}", flush=True)


def report(name: str, after: int, params) -> dict:
    """Prints and returns the figures of a run."""
    recall, tones = retrieval(params)
    print(f"{name}, {after} steps")
    told("R@1 of 64, tva", recall["tva"], 0.9 if name == "half" else 0.95)
    for group in ("tv", "ta") if name == "grouped" else ():
        told(f"R@1 of 64, {group} (at best 1/8)", recall[group], 0.05, 0.25)
    found = {"recall": recall, "tones": tones}
    if after >= WORDS_AFTER and name != "half":
        found["words"] = words(params)
    for group, shares in found.get("words", {}).items() if name == "grouped" else ():
        for kind, letter, share in zip(("seen", "heard"), "va", shares, strict=True):
            bounds = (0.95, 1.0) if letter in group else (0.0, 0.3)
            told(f"words of what is {kind}, {group}", share, *bounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    given, figures = parser.parse_args(), {}
    for name in given.only:
        start, found = time.perf_counter(), {}

        def at_end(params, name=name, found=found):
            found.update(report(name, given.steps, params))

        train(RUNS[name], given.steps, {given.steps: at_end})
        figures[name] = {**found, "seconds": time.perf_counter() - start}
        print(f"  {figures[name]['seconds']:.0f} s", flush=True)
    if {"grouped", "tva"} <= {*figures}:
        runs = [figures[name] for name in ("grouped", "tva")]
        compared = {"right tone first": [run["tones"] for run in runs]}
        if given.steps >= WORDS_AFTER:
            compared["right words of what is heard"] = [run["words"]["ta"][1] for run in runs]
        for what, (many, one) in compared.items():
            print(f"ta, {what}: {many:.3f} of three groups, {one:.3f} of tva alone")
    print(json.dumps({"steps": given.steps, **figures}))


if __name__ == "__main__":
    main()

"""Seconds of one training step of ViT-L/14 with LoRA on this machine.

    python benchmarks/vit_l_step.py [--modality=video] [--batch=4] [--patch-dropout=0.5] [--steps=3]

The step is the one `lb-jax train` compiles: towers, frozen text, loss, gradient, AdamW. Weights are
random; the time does not depend on them.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.lora import LoraConfig
from lb_jax.training import loop, optimizer, recipe, sharding, step
from lb_jax.training.config import ModalityRecipe, TrainConfig

TRAINABLE = (
    (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
    (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
    (r"logit_scale/.*", True),
    (r".*", False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modality", default="depth", help="default: depth")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch-dropout", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after two that warm up")
    parser.add_argument("--remat", action="store_true", help="recompute activations")
    given = parser.parse_args()

    lora = LoraConfig(rank=2, alpha=16)
    one = ModalityRecipe(
        lora=lora, patch_dropout=given.patch_dropout, temporal=given.modality == "video"
    )
    cfg = TrainConfig(
        arch="ViT-L/14",
        modalities={given.modality: one},
        trainable=TRAINABLE,
        steps=1000,
        batch_size=given.batch,
        remat=given.remat,
    )
    model_cfg, _ = recipe.build(cfg)
    model = LanguageBind(model_cfg, remat=cfg.remat)
    trainable, frozen = paths.partition(recipe.initial_params(cfg, model), cfg.trainable)
    schedule = optimizer.warmup_cosine(lr=cfg.optim.lr, warmup_steps=10, steps=cfg.steps)
    adamw = optimizer.make_optimizer(
        trainable, schedule, b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.2
    )
    state = {"params": trainable, "opt": adamw.init(trainable), "step": jnp.int32(0)}
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    loss = step.make_loss(model, {given.modality: given.patch_dropout})
    train_step = loop.compile_step(step.make_step(loss, adamw, schedule), state, frozen, mesh)

    batch = loop.put_batch(
        random_batch(model_cfg.towers[given.modality], cfg, given.modality), mesh
    )
    key = jax.device_put(jax.random.key(0), sharding.replicated(mesh))
    seconds = []
    for number in range(given.steps + 2):
        start = time.perf_counter()
        state, metrics = train_step(state, frozen, batch, key)
        jax.block_until_ready(state)
        seconds.append(time.perf_counter() - start)
        what = "compile and first step" if number == 0 else f"step {number}"
        print(f"{what}: {seconds[-1]:.2f} s, loss {float(metrics['loss']):.4f}", flush=True)
    count = sum(leaf.size for leaf in jax.tree.leaves((state["params"], frozen)))
    trained = sum(leaf.size for leaf in jax.tree.leaves(state["params"]))
    setting = f"batch {given.batch}, patch dropout {given.patch_dropout}"
    timed = seconds[2:]
    print(
        f"ViT-L/14 {given.modality} LoRA, {setting}: "
        f"median {np.median(timed):.2f} s/step (min {min(timed):.2f}), "
        f"{count / 1e6:.0f} M parameters, {trained / 1e6:.2f} M trained"
    )


def random_batch(tower, cfg: TrainConfig, modality: str) -> dict:
    """A batch of noise and of random token ids, in the shapes the pipeline gives."""
    rng = np.random.default_rng(0)
    frames = (tower.frames,) if tower.frames > 1 else ()
    media = rng.normal(size=(cfg.batch_size, *frames, *tower.image_size, 3)).astype(np.float32)
    text = rng.integers(1, 49407, size=(cfg.batch_size, cfg.text_length)).astype(np.int32)
    return {modality: {"media": media, "text": text}}


if __name__ == "__main__":
    main()

"""One LoRA training step against PyTorch (transformers' CLIP vision tower, PEFT's LoRA).

    python benchmarks/train.py [--rows "B/16 depth" ...] [--repetitions 7] [--batch N]

Each row is a pair of the same shapes: the same patches kept of each picture, the same factors and
other parameters trained, captions already embedded, loss, gradient, AdamW. Every side is a process
of its own; they take steps in turn, so that both meet the same disturbances, and the ratio is the
median over the turns. First float32 against float32 (PyTorch eager and compiled), then the best
dtype of each side. Peak memory is the process's, or the device's where there is a GPU. Runs on the
GPU where both find one.
"""

import argparse
import dataclasses
import importlib.util
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import turns


@dataclasses.dataclass(frozen=True)
class Row:
    """What both sides train.

    Attributes:
      arch: "ViT-B/16" or "ViT-L/14".
      modality: "depth", or "video" with 8 frames and attention over time.
      batch: items per step.
      drop: share of the patches dropped.
      rank: of LoRA.
    """

    arch: str
    modality: str
    batch: int
    drop: float
    rank: int


ROWS = {
    "B/16 depth": Row("ViT-B/16", "depth", 16, 0.5, 2),
    "L/14 depth": Row("ViT-L/14", "depth", 8, 0.5, 2),
    "B/16 video": Row("ViT-B/16", "video", 2, 0.3, 16),
}
SIZE_FIELDS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("patch_size", "projection_dim"),
)
SIZES = {"ViT-B/16": (768, 12, 12, 3072, 16, 512), "ViT-L/14": (1024, 24, 16, 4096, 14, 768)}
FRAMES, SIDE = 8, 224
FIRST = 2  # the turn that counts first: those before compile and use things once
SIDES = ("ours float32", "eager float32", "compiled float32")
BEST = ("ours float32", "ours bfloat16", "eager bfloat16", "compiled bfloat16")


# ---- ours ----


def ours(row: Row, dtype: str):
    """Returns (step, peak bytes of the device or 0)."""
    import jax

    from lb_jax.core import paths
    from lb_jax.models.lora import LoraConfig
    from lb_jax.training import binding, config, program, recipe, sharding

    temporal = row.modality == "video"
    rules = [(r"towers/[^/]+/blocks/.*/lora_[ab]", True)]
    rules += [(r"towers/video/blocks/temporal_(embed|norm/.*)", True)] if temporal else []
    rules += [(r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True)]
    modality = config.ModalityRecipe(
        lora=LoraConfig(rank=row.rank), patch_dropout=row.drop, temporal=temporal
    )
    cfg = config.TrainConfig(
        arch=row.arch,
        modalities={row.modality: modality},
        trainable=(*rules, (r"logit_scale/.*", True), (r".*", False)),
        steps=1000,
        batch_size=row.batch,
        dtype=dtype,
        frozen_dtype=dtype,
        data=config.DataConfig(text_cache="captions come embedded"),
    )
    mesh = sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}, jax.devices()[:1])
    params = recipe.initial_params(cfg, binding.make_model(cfg, recipe.build(cfg)[0]))
    trainable, frozen = paths.partition(params, cfg.trainable)
    held = binding.held(frozen, cfg)
    made = program.make_program(cfg, mesh, trainable, held)
    state = program.place(made.initial_state(trainable), mesh)
    held = program.place(held, mesh)
    rng = np.random.default_rng(0)
    batch = sharding.put_batch(
        jax.tree.map(lambda one: rng.normal(size=one.shape).astype(np.float32), made.batch), mesh
    )
    key = jax.random.key(0)

    def step() -> None:
        nonlocal state
        state, metrics = made.step(state, held, batch, key)
        jax.block_until_ready((state, metrics))

    def peak() -> int:
        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)

    return step, peak


# ---- PyTorch ----


def theirs(row: Row, dtype: str, *, compiled: bool):
    """Returns (step, peak bytes of the device or 0)."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    from transformers.models.clip.modeling_clip import CLIPAttention

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = dict(zip(SIZE_FIELDS, SIZES[row.arch], strict=True))
    width, patch, embed = (size[name] for name in ("hidden_size", "patch_size", "projection_dim"))
    clip = CLIPVisionModelWithProjection(
        CLIPVisionConfig(**size, image_size=SIDE, hidden_act="gelu")
    ).requires_grad_(False)
    tower, frames = clip.vision_model, FRAMES if row.modality == "video" else 1

    class OverTime(torch.nn.Module):
        """A block that attends over time first, as LanguageBind's video tower does."""

        def __init__(self, block):
            super().__init__()
            self.block = block
            self.temporal_embedding = torch.nn.Parameter(torch.randn(1, frames, width) / width**0.5)
            self.temporal_norm = torch.nn.LayerNorm(width)
            self.temporal_attn = CLIPAttention(clip.config)

        def forward(self, x, *arguments, **options):
            items, tokens = x.shape[0] // frames, x.shape[1]
            x = x.view(items, frames, tokens, width).transpose(1, 2).reshape(-1, frames, width)
            x = x + self.temporal_embedding
            x = x + self.temporal_attn(self.temporal_norm(x))[0]
            x = x.view(items, tokens, frames, width).transpose(1, 2).reshape(-1, tokens, width)
            return self.block(x, *arguments, **options)

    targets = r".*\.self_attn\.(q|k|v|out)_proj"
    if frames > 1:
        for i, block in enumerate(tower.encoder.layers):
            tower.encoder.layers[i] = OverTime(block)
        clip.requires_grad_(False)
        targets = r".*\.temporal_attn\.(q|k|v|out)_proj"
    lora = LoraConfig(r=row.rank, lora_alpha=16, target_modules=targets)
    tower.encoder = get_peft_model(tower.encoder, lora)
    own = r".*(class_embedding|post_layernorm|visual_projection|temporal_embedding|temporal_norm).*"
    for name, one in clip.named_parameters():
        if re.fullmatch(own, name):
            one.requires_grad_(True)
    clip.to(device)
    scale = torch.nn.Parameter(torch.tensor(2.66, device=device))
    trained = [one for one in clip.parameters() if one.requires_grad] + [scale]
    adamw = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2)

    torch.manual_seed(0)
    pixels = torch.randn(row.batch * frames, 3, SIDE, SIDE, device=device)
    texts = torch.nn.functional.normalize(torch.randn(row.batch, embed, device=device), dim=-1)
    patches = (SIDE // patch) ** 2
    keep = max(1, int(patches * (1 - row.drop)))
    kept = torch.stack([torch.randperm(patches)[:keep] for _ in range(row.batch)])
    kept = kept.repeat_interleave(frames, 0)[..., None].expand(-1, -1, width).to(device)
    labels = torch.arange(row.batch, device=device)

    def loss(pixels, texts):
        x = tower.embeddings(pixels)
        x = torch.cat([x[:, :1], torch.gather(x[:, 1:], 1, kept)], 1)
        x = tower.encoder(inputs_embeds=tower.pre_layrnorm(x)).last_hidden_state
        x = tower.post_layernorm(x[:, 0]).view(row.batch, frames, width).mean(1)
        x = torch.nn.functional.normalize(clip.visual_projection(x).float(), dim=-1)
        logits = scale.exp() * x @ texts.T
        cross_entropy = torch.nn.functional.cross_entropy
        return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2

    run = torch.compile(loss) if compiled else loss

    def step() -> None:
        adamw.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            value = run(pixels, texts)
        value.backward()
        adamw.step()
        if device == "cuda":
            torch.cuda.synchronize()

    def peak() -> int:
        return torch.cuda.max_memory_allocated() if device == "cuda" else 0

    return step, peak


# ---- both ----


def serve(row: Row, side: str) -> None:
    """A child: answers with the seconds of a step, and peak bytes."""
    kind, dtype = side.split()
    made = {
        "ours": lambda: ours(row, dtype),
        "eager": lambda: theirs(row, dtype, compiled=False),
        "compiled": lambda: theirs(row, dtype, compiled=True),
    }
    step, peak = made[kind]()

    def measured(turn: int) -> dict[str, float]:
        start = time.perf_counter()
        step()
        taken = time.perf_counter() - start
        status = Path("/proc/self/status").read_text()
        host = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
        return {"seconds": taken, "peak": peak() or host}

    turns.answer(measured)


def measure(name: str, row: Row, sides: tuple[str, ...], repetitions: int) -> dict[str, dict]:
    """Steps of several sides in turn."""
    options = ("--batch", str(row.batch))
    commands = {side: (sys.executable, __file__, "--serve", name, side, *options) for side in sides}
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for turn, side, figures in turns.take(commands, FIRST + repetitions):
        if turn >= FIRST:
            found[side].append(figures)
    return {
        side: {
            "samples_per_s": row.batch / float(np.median([one["seconds"] for one in rows])),
            "seconds": [one["seconds"] for one in rows],
            "peak_bytes": rows[-1]["peak"],
        }
        for side, rows in found.items()
    }


def ratio(ours: dict, peer: dict) -> float:
    """How many times the samples/s of the peer, median over the turns."""
    return float(np.median(np.divide(peer["seconds"], ours["seconds"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--batch", type=int, default=0, help="0 takes each row's own")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()

    def chosen(name: str) -> Row:
        return dataclasses.replace(ROWS[name], batch=given.batch or ROWS[name].batch)

    if given.serve:
        serve(chosen(given.serve[0]), given.serve[1])
        return
    if importlib.util.find_spec("peft") is None:
        raise SystemExit("torch, transformers and peft are needed: pip install -e '.[test]'")
    figures = {}
    for name in given.rows:
        row = chosen(name)
        print(f"{name}: batch {row.batch}, LoRA rank {row.rank}, {row.drop:.0%} of patches dropped")
        found = measure(name, row, SIDES, given.repetitions)
        show(found, "ours float32")
        best = measure(name, row, BEST, given.repetitions)
        fastest = min(
            ("ours float32", "ours bfloat16"), key=lambda one: np.median(best[one]["seconds"])
        )
        show(best, fastest)
        figures[name] = {"float32": summary(found, SIDES[0]), "best": summary(best, fastest)}
    print(json.dumps(figures))


def show(found: dict[str, dict], against: str) -> None:
    for side, one in found.items():
        rate, peak = one["samples_per_s"], one["peak_bytes"] / 2**20
        times = ratio(found[against], one)
        print(
            f"  {side:20}{rate:9.2f} samples/s   peak {peak:8.0f} MiB   "
            f"{against} is {times:5.2f} times as fast",
            flush=True,
        )


def summary(found: dict[str, dict], against: str) -> dict[str, dict]:
    """Figures without the single steps."""
    return {
        side: {
            "samples_per_s": round(one["samples_per_s"], 3),
            "peak_mib": round(one["peak_bytes"] / 2**20),
            f"{against} against it": round(ratio(found[against], one), 3),
        }
        for side, one in found.items()
    }


if __name__ == "__main__":
    main()

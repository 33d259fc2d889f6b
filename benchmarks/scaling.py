"""What a training step holds and sends as the batch and the machine grow; nothing is executed.

    python benchmarks/scaling.py [--only batch chips valor] [--batches 64 128 ...]

Compiles the real step as `lb-jax plan` does. The first table is the tiny depth tower with LoRA on 8
virtual CPU devices at growing global batches: temporary bytes of a device must grow as the batch
does, not as its square. The second is ViT-L/14 on slices of TPU v5e at a fixed batch per chip:
temporary bytes must stay, and what a chip sends is what the collectives of the step need. So must
those of VALOR-L's pretraining, the third, at the batch per chip that 256 of them have. Both need
libtpu (the extra `plan`).
"""

import argparse
import dataclasses
import importlib.util
import json

import jax

from lb_jax.models.lora import LoraConfig
from lb_jax.training import plan, published
from lb_jax.training.config import DataConfig, LossConfig, ModalityRecipe, TrainConfig

BATCHES = (128, 256, 512, 1024, 2048, 4096, 8192)
SLICES = ("v5e:2x4", "v5e:8x8", "v5e:16x16")
PER_CHIP = 64
MIB = 2**20

DEPTH = TrainConfig(
    arch="ViT-L/14",
    modalities={"depth": ModalityRecipe(lora=LoraConfig(rank=2), patch_dropout=0.5)},
    trainable=(
        (r"towers/depth/blocks/attn/.*/lora_[ab]", True),
        (r"towers/depth/(class_embed|post_norm/.*|proj/kernel)", True),
        (r"logit_scale/depth", True),
        (r".*", False),
    ),
    steps=1,
    batch_size=PER_CHIP,
    remat="full",
)
# So little tower (4 patches, of which 2 are kept; text from a cache) that the loss shows beside it,
# and a tile far smaller than any batch here, so that its fixed size does not hide how it grows.
TINY = dataclasses.replace(
    DEPTH,
    arch="tiny",
    modalities={
        "depth": dataclasses.replace(DEPTH.modalities["depth"], preprocess={"size": 16}),
    },
    data=DataConfig(text_cache="not read"),
    loss=LossConfig(tile=16),
)
VALOR = dataclasses.replace(published.run("pretrain", "valor1m"), remat="full")
# What is compiled for growing slices: title, run, items of a chip.
SLICED = {
    "chips": ("ViT-L/14, depth, LoRA", DEPTH, PER_CHIP),
    "valor": ("VALOR-L, pretraining on VALOR-1M", VALOR, 2),
}


def by_batch(batches: list[int]) -> list[dict]:
    """Temporary bytes of one of 8 virtual CPU devices at every global batch."""
    to = plan.target("cpu:8")
    rows = []
    print("tiny depth tower, LoRA, 8 virtual CPU devices; per device")
    print(f"{'global batch':>14}{'temporary MiB':>16}{'KiB per item':>15}{'against half':>14}")
    for batch in batches:
        found = plan.try_out(dataclasses.replace(TINY, batch_size=batch), to).figures
        before = rows[-1]["temp_bytes"] if rows else None
        rows.append({"batch": batch, "temp_bytes": found.temp_bytes, "sent": found.sent})
        ratio = f"{found.temp_bytes / before:14.2f}" if before else f"{'':14}"
        each = found.temp_bytes / (batch / 8) / 1024
        print(f"{batch:14,}{found.temp_bytes / MIB:16.2f}{each:15.1f}{ratio}", flush=True)
    return rows


def by_chips(title: str, run: TrainConfig, per_chip: int) -> list[dict]:
    """Temporary and sent bytes of a v5e chip on growing slices, at a fixed batch per chip."""
    rows = []
    print(f"\n{title}, {per_chip} items per chip, TPU v5e; per chip")
    print(f"{'chips':>8}{'temporary MiB':>16}{'against first':>15}{'compiled':>11}  sent, MiB")
    for name in SLICES:
        to = plan.target(name)
        cfg = dataclasses.replace(run, batch_size=per_chip * len(to.devices))
        found = plan.try_out(cfg, to).figures
        row = {"chips": len(to.devices), "temp_bytes": found.temp_bytes, "sent": found.sent}
        rows.append({**row, "compile_s": found.compile_s})
        ratio = found.temp_bytes / rows[0]["temp_bytes"]
        sent = ", ".join(f"{kind} {size / MIB:.2f}" for kind, size in sorted(found.sent.items()))
        print(
            f"{len(to.devices):8}{found.temp_bytes / MIB:16,.1f}{ratio:15.3f}"
            f"{found.compile_s:9.0f} s  {sent}",
            flush=True,
        )
    return rows


def main() -> None:
    """Prints the tables, and as the last line their figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    tables = ("batch", *SLICED)
    parser.add_argument("--only", nargs="+", choices=tables, default=[*tables])
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    given = parser.parse_args()
    figures = {"jax": jax.__version__}
    if "batch" in given.only:
        figures["by_batch"] = by_batch(given.batches)
    for name in [one for one in SLICED if one in given.only]:
        if importlib.util.find_spec("libtpu"):
            figures[f"by_{name}"] = by_chips(*SLICED[name])
        else:
            print("\nTPU slices skipped: libtpu is not installed; pip install 'lb_jax[plan]'")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

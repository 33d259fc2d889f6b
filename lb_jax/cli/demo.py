"""The demo command; only chains what the other commands do.

Usage: `lb-jax demo [--out DIR] [--seed N] [--items M]`, `lb-jax demo corpus …`, `lb-jax demo
caption …`, `lb-jax demo mmv …` and `lb-jax demo imagebind …`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from lb_jax.cli import (
    calibrate,
    demo_caption,
    demo_corpus,
    demo_imagebind,
    demo_mmv,
    demo_steps,
    evaluate,
    train,
)
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, errors, logging, modalities

# What the report holds the headline numbers against.
TARGETS = {
    "image/category": (">=", 0.90),
    "depth/distance": (">=", 0.90),
    "thermal/temperature": (">=", 0.90),
    "audio/source": (">=", 0.90),
    "video/motion": (">=", 0.85),
    "video/motion_shuffled": ("<=", 0.60),
    **{f"text->{name}": (">=", 10.0) for name in modalities.LANGUAGEBIND},  # times chance
    "best emergent pair": (">=", 4.0),
}


def main(argv: Sequence[str]) -> None:
    """Runs the whole demo, or what is named first: its corpus alone, or that of another system."""
    if argv and argv[0] in PARTS:
        PARTS[argv[0]](argv[1:])
        return
    arguments = demo_corpus.options(
        "demo",
        "Writes a corpus of real media files, pretrains, binds every modality, "
        "evaluates, and writes report.html.",
        argv,
        items=demo_corpus.ITEMS,
        seed_of="of the corpus and of both runs",
        items_are="size of the corpus",
    )
    run(arguments.out, seed=arguments.seed, items=arguments.items)


def run(out: Path, *, seed: int, items: int) -> None:
    """Corpus -> pretrain -> bind -> evaluate -> calibrate; a finished part is not done again."""
    from lb_jax.training import sheets

    make_folder(out, "--out")
    configs = os.path.relpath(sheets.SHIPPED)

    data = [
        f"--config.data.sources.main.path={out / 'corpus' / 'train.json'}",
        f"--config.seed={seed}",
    ]
    steps = demo_steps.Steps()
    given = ["--out", str(out / "corpus"), "--seed", str(seed), "--items", str(items)]
    steps.run("corpus", "demo corpus", demo_corpus.main, given)
    for name, start in (("pretrain", []), ("bind", [f"--config.init_from={out / 'pretrain'}"])):
        sheet = f"--config={configs}/demo_{name}.py"
        given = [sheet, f"--workdir={out / name}", *start, *data]
        steps.run(name, "train", train.main, given)
    checkpoint.copy(out / "bind" / "checkpoint", out / "checkpoint")
    print(
        f"$ lb-jax evaluate --model={out / 'checkpoint'} --data={out / 'corpus'} --out={out}",
        flush=True,
    )
    curves = {
        name: logging.read_metrics(out / name / "metrics.jsonl") for name in ("pretrain", "bind")
    }
    facts = {"seed": seed, "items": items}
    with steps.timed("evaluate"):
        model, result = evaluate.run(
            out / "checkpoint", out / "corpus", out=out, curves=curves, facts=facts, targets=TARGETS
        )
    print(f"$ lb-jax calibrate --model={out / 'checkpoint'} --data={out / 'corpus'}", flush=True)
    with steps.timed("calibrate"):
        try:  # from the vectors that are there already
            calibrate.run(model, result, "test")
        except errors.DataError as error:  # a corpus of few items is enough for all but this
            print(f"not calibrated: {error}")
    checkpoint.write_json(out / "metrics.json", {**result.metrics, "seconds": steps.seconds})
    print(f"{out / 'metrics.json'}\n{out / 'report.html'}\n{out / 'checkpoint'}")


PARTS = {
    "corpus": demo_corpus.main,
    "caption": demo_caption.main,
    "mmv": demo_mmv.main,
    "imagebind": demo_imagebind.main,
}

"""`lb-jax demo imagebind`: small towers of ImageBind's form, bound to pictures and to captions."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli import demo_corpus, demo_steps, evaluate, train
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, logging

VISION = "vision"
# Row of the sheet -> what its report holds the headline numbers against. What a picture does not
# show, such as the distance, no modality learns that is bound to pictures alone.
BINDINGS = {
    "image": {
        "imu/motion": (">=", 0.85),
        "imu->video": (">=", 10.0),
        "depth->image": (">=", 4.0),
    },
    "text": {
        "imu/motion": (">=", 0.85),
        "imu->video": (">=", 10.0),
        "depth/distance": (">=", 0.90),
        "thermal/temperature": (">=", 0.75),
        "audio/source": (">=", 0.90),
    },
}


def main(argv: Sequence[str]) -> None:
    """`lb-jax demo imagebind --out DIR`."""
    arguments = demo_corpus.options(
        "demo imagebind",
        "Writes a corpus of real media files, motion sensors among them, makes a small tower of "
        "stills and clips of ImageBind's form, binds the other modalities to pictures and films "
        "as published, and once more to captions, and measures both; writes a report of each.",
        argv,
        items=demo_corpus.ITEMS,
        seed_of="of the corpus and of the runs",
        items_are="size of the corpus",
    )
    run(arguments.out, seed=arguments.seed, items=arguments.items)


def run(out: Path, *, seed: int, items: int, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Corpus -> vision -> bound to pictures, and to captions -> measures and reports.

    A finished part is not done again.

    Args:
      out: folder for everything.
      seed: of the corpus and of the runs.
      items: size of the corpus.
      settings: more of the sheet, as `lb-jax train` takes them.

    Returns:
      What `metrics.json` holds.
    """
    from lb_jax.training import sheets

    make_folder(out, "--out")
    steps = demo_steps.Steps()
    corpus, sheet = out / "corpus", f"{os.path.relpath(sheets.SHIPPED)}/demo_imagebind.py"

    given = [f"--seed={seed}", f"--items={items}", f"--out={corpus}"]
    steps.run("corpus", "demo corpus", demo_corpus.main, given)
    for name in (VISION, *BINDINGS):
        start = [] if name == VISION else [f"--config.init_from={out / VISION}"]
        given = [
            f"--config={sheet}:{name}",
            f"--workdir={out / name}",
            *start,
            f"--config.data.sources.main.path={corpus / 'train.json'}",
            f"--config.seed={seed}",
            *settings,
        ]
        steps.run(f"train {name}", "train", train.main, given)
    found: dict[str, Any] = {}
    for name, targets in BINDINGS.items():
        model, report = out / name / "checkpoint", out / f"report-{name}"
        print(f"$ lb-jax evaluate --model={model} --data={corpus} --out={report}", flush=True)
        with steps.timed(f"evaluate {name}"):
            _, result = evaluate.run(
                model,
                corpus,
                out=report,
                curves={
                    one: logging.read_metrics(out / one / "metrics.jsonl") for one in (VISION, name)
                },
                facts={"seed": seed, "items": items, "bound to": name},
                targets=targets,
            )
        found[name] = result.metrics
    metrics = {**found, "seconds": steps.seconds}
    checkpoint.write_json(out / "metrics.json", metrics)
    print(out / "metrics.json")
    for name in BINDINGS:
        print(out / f"report-{name}" / "report.html")
        print(out / name / "checkpoint")
    return metrics

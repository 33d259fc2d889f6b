"""`lb-jax demo mmv`: networks of sight and sound, from drawn films without a label or caption."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli import deflate, demo_corpus, demo_measures, demo_steps, train
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, logging

ITEMS = 3000
RUNS = {"films": "run", "narrated": "narrated"}  # row of the sheet -> work directory
FIT = ("--steps=400", "--batch-size=16")  # of the image tower
BATCH_SIZE = 60  # items that are looked at together

# Measure -> what the report holds it against: shares, and multiples of chance ("…->film").
TARGETS = {
    "video/motion": (">=", 0.90),
    "video/motion, above random": (">=", 0.30),
    "audio/source": (">=", 0.90),
    "audio/source, above random": (">=", 0.30),
    "sound->film": (">=", 10.0),
    "text->film": (">=", 10.0),
    "stills, kept of video": (">=", 0.95),
    "stills, above naive": (">=", 0.001),
    "stills, above one frame": (">=", 0.001),
}


def main(argv: Sequence[str]) -> None:
    """`lb-jax demo mmv --out DIR`."""
    arguments = demo_corpus.options(
        "demo mmv",
        "Draws films whose sound follows what they show, trains small networks on them without a "
        "label or caption, and others with what is said in half of them, makes an image tower of "
        "the video network, and measures what was learnt beside the same networks at random "
        "weights; writes report.html.",
        argv,
        items=ITEMS,
        seed_of="of the films and of the runs",
        items_are="number of films",
    )
    run(arguments.out, seed=arguments.seed, items=arguments.items)


def run(out: Path, *, seed: int, items: int, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Films -> two runs -> image tower -> measures -> report; a finished part is not done again.

    Args:
      out: folder for everything.
      seed: of the films and of the runs.
      items: number of films.
      settings: more of the sheet, as `lb-jax train` takes them.

    Returns:
      What `metrics.json` holds.
    """
    from lb_jax.evaluation.reports import unlabelled as report
    from lb_jax.training import sheets

    make_folder(out, "--out")
    steps = demo_steps.Steps()
    films, sheet = out / "films", f"{os.path.relpath(sheets.SHIPPED)}/demo_mmv.py"

    given = [f"--seed={seed}", f"--items={items}", f"--out={films}", "--kind=narrated"]
    steps.run("films", "demo corpus", demo_corpus.main, given)
    for name, where in RUNS.items():
        given = [
            f"--config={sheet}:{name}",
            f"--workdir={out / where}",
            f"--config.data.sources.main.path={films / 'train'}",
            f"--config.mmv.vocabulary={films}",
            f"--config.seed={seed}",
            *settings,
        ]
        steps.run(f"train {name}", "train", train.main, given)
    found = demo_measures.read(films)
    stills = {split: out / "stills" / split for split in found}
    with steps.timed("stills"):
        for split, part in found.items():
            demo_measures.write_stills(part, stills[split])
    for name, folder, given in (
        ("deflate", out / "checkpoint", [f"--images={stills['train']}", f"--seed={seed}", *FIT]),
        ("deflate naively", out / "naive", ["--naive"]),
    ):
        if not (folder / checkpoint.CONFIG).exists():
            arguments = [str(out / RUNS["films"]), f"--out={folder}", *given]
            steps.run(name, "deflate", deflate.main, arguments)
    with steps.timed("measures"):
        measured, hits = _measured(out, found, stills, seed)
    metrics = {**measured, "seconds": steps.seconds}
    checkpoint.write_json(out / "metrics.json", metrics)
    lines = headlines(metrics, len(found["test"]))
    print("\n".join(f"{one.name:28}{one.shown:>9}  {one.detail}" for one in lines))
    report.write(
        out / "report.html",
        lines,
        found["test"].paths,
        hits,
        title="lb-jax demo mmv",
        facts={"seed": seed, "films": items, "held out": len(found["test"])},
        curves={
            name: logging.read_metrics(out / where / "metrics.jsonl")
            for name, where in RUNS.items()
        },
        metrics=metrics,
    )
    for name in ("metrics.json", "report.html", "checkpoint"):
        print(out / name)
    return metrics


def _measured(out: Path, films: Any, stills: Any, seed: int) -> tuple[dict[str, Any], Any]:
    """What is measured, and the film that the sound of each held-out one finds."""
    from lb_jax.inference import mmv

    model, ready = mmv.load(out / "checkpoint", batch_size=BATCH_SIZE), demo_measures.Ready()
    if not (out / "random" / checkpoint.CONFIG).exists():
        learnt = films["train"][: demo_measures.LABELLED]
        demo_measures.save_untrained(model, out / "random", learnt, seed, ready)
    random, naive, narrated = (
        mmv.load(out / name, batch_size=BATCH_SIZE)
        for name in ("random", "naive", f"{RUNS['narrated']}/checkpoint")
    )
    sound, hits = demo_measures.sound_to_film(model, films["test"], ready)
    measured = {
        "probes": demo_measures.probes(model, films, ready),
        "random": demo_measures.probes(random, films, ready),
        "stills": demo_measures.stills(model, naive, stills, films),
        "recall": {
            "sound->film": sound,
            "text->film": demo_measures.text_to_film(narrated, films["test"], ready),
        },
    }
    return measured, hits


def headlines(metrics: Mapping[str, Any], count: int) -> list[Any]:
    """The rows of `TARGETS` as `terminal.Headline`s, of measures on so many held-out films."""
    from lb_jax.evaluation.reports.terminal import Headline, percent

    stills, values = metrics["stills"], {}
    for name, chance in (("video/motion", 1 / 4), ("audio/source", 1 / 24)):
        value, random = metrics["probes"][name], metrics["random"][name]
        values[name] = (value, chance, f"linear classifier of {demo_measures.LABELLED} films")
        values[f"{name}, above random"] = (value - random, None, _less(random, "random weights"))
    for name, value in metrics["recall"].items():
        values[name] = (value * count, 1.0, f"R@1 of {count}, as a multiple of chance")
    video, image = stills["video"], stills["image"]
    kept = image / video if video else 0.0
    values["stills, kept of video"] = (kept, None, f"{percent(image)} of {percent(video)}")
    for name in ("naive", "one frame"):
        less = _less(stills[name], {"naive": "naive deflation"}.get(name, name))
        values[f"stills, above {name}"] = (image - stills[name], None, less)
    return [
        Headline(name, value, detail, name in metrics["recall"], chance, TARGETS[name])
        for name, (value, chance, detail) in ((name, values[name]) for name in TARGETS)
    ]


def _less(value: float, what: str) -> str:
    from lb_jax.evaluation.reports.terminal import percent

    return f"{what} gives {percent(value)}"

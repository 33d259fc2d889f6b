"""`lb-jax corpus demo`: raw films, some with faults, filtered; what was found of them."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli import corpus_run, demo_corpus
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, logging

ITEMS = 500
SHEET = "corpus_demo"
RAW = "raw"


def main(argv: Sequence[str]) -> None:
    """Draws the films, runs the sheet, scores the stages."""
    arguments = demo_corpus.options(
        "corpus demo",
        "Draws raw films with titles, one in five with a fault, filters them by the sheet "
        "corpus_demo, and tells which faults were found by which stage. The corpus of what is kept "
        "lies in OUT/corpus.",
        argv,
        items=ITEMS,
        seed_of="of the films",
        items_are="number of films",
    )
    run(arguments.out, seed=arguments.seed, items=arguments.items)


def run(out: Path, *, seed: int, items: int) -> Mapping[str, Any]:
    """Raw films -> filters -> scores; a finished part is not done again. Returns the metrics."""
    from lb_jax.demo import faults, folder, raw_films

    make_folder(out, "--out")
    start = time.perf_counter()
    with logging.Progress("draw films", items, unit="film") as bar:
        folder.write(
            raw_films.RAW_FILMS,
            out / RAW,
            seed=seed,
            items=items,
            progress=lambda done, total: bar.advance(done - bar.done),
        )
    drawn = time.perf_counter()
    arguments = [
        f"--config={SHEET}",
        f"--config.source.path={out / RAW / 'raw.json'}",
        f"--out={out}",
    ]
    print(f"$ lb-jax corpus run {' '.join(arguments)}", flush=True)
    cfg, _ = corpus_run.parse(arguments)
    card = corpus_run.run(cfg, out)
    filtered = time.perf_counter()
    told = json.loads((out / RAW / "faults.json").read_text(encoding="utf-8"))
    scores = faults.score(_refused_by(out), told)
    seconds = {"draw": drawn - start, "filter": filtered - drawn, "total": filtered - start}
    metrics = {
        "seed": seed,
        "items": items,
        **scores,
        "stages": card["stages"],
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }
    checkpoint.write_json(out / "metrics.json", metrics)
    print("\n".join(faults.lines(scores)))
    _report(out, metrics)
    print(f"{out / 'metrics.json'}\n{out / 'report.html'}")
    return metrics


def _refused_by(out: Path) -> dict[str, str]:
    """Key of every film -> the stage that refused it; empty for what is kept."""
    import pyarrow.parquet as pq

    from lb_jax.builder import export

    rows = pq.read_table(out / export.FILE, columns=["key", export.REFUSED_BY]).to_pylist()
    return {row["key"]: row[export.REFUSED_BY] for row in rows}


def _report(out: Path, metrics: Mapping[str, Any]) -> None:
    from lb_jax.demo.faults import FOUND, REFUSED
    from lb_jax.evaluation.reports import page

    faults = [
        (
            fault,
            f"{row['right']} of {row['films']}",
            row["stage"],
            ", ".join(f"{stage} {count}" for stage, count in row["by_another"].items()),
            ", ".join(row["missed"]),
        )
        for fault, row in metrics["faults"].items()
    ]
    yields = [
        (row["stage"], row["kept"], row["asked"], row["refused"], row["bad"])
        for row in metrics["stages"]
    ]
    links = "".join(
        f'<li><a href="stages/{name}.html">{name}</a></li>'
        for name in (page.escaped(row["stage"]) for row in metrics["stages"])
    )
    parts = (
        *page.section(
            "Faults",
            f"Found by the stage that should: {metrics['found']:.1%} (asked: {FOUND:.0%}). Of "
            f"{metrics['good']} good films refused: {metrics['refused']:.1%} (asked: at most "
            f"{REFUSED:.0%}).",
            page.rows(("fault", "right", "stage", "by another", "missed"), faults),
        ),
        *page.section(
            "Yields",
            "In the order of the stages; a page of each shows kept and refused side by side.",
            page.rows(("stage", "kept", "asked", "refused", "bad"), yields),
            f"<ul>{links}</ul>",
        ),
    )
    facts = {"seed": metrics["seed"], "items": metrics["items"], **metrics["seconds"]}
    page.write(out / "report.html", "lb-jax corpus demo", facts, parts, metrics)

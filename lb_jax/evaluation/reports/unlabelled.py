"""What networks learnt from films without labels: measures, curves, and what sounds find."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core.words import counted
from lb_jax.evaluation.reports import corpus, page, terminal, thumbnails
from lb_jax.evaluation.reports.page import escaped
from lb_jax.media import clips

TERMS = {"audio": "s-audio", "text": "s-image"}  # what videos are compared with, and its colour
EXAMPLES = 12
FRAMES = 4  # of each film, side by side


def write(
    path: Path,
    lines: Sequence[terminal.Headline],
    films: Sequence[Path],
    hits: np.ndarray,
    *,
    title: str,
    facts: Mapping[str, object],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    metrics: Mapping[str, Mapping[str, float]],
) -> None:
    """Writes the page; a file of that name is replaced only once the new one is complete.

    Args:
      path: the HTML file.
      lines: the numbers that count.
      films: that were held out.
      hits: int [n], the number of the film that the sound of each finds.
      title: heading of the page.
      facts: shown under the title.
      curves: name of a run -> rows of metrics of its training.
      metrics: "probes" and "random" -> task -> accuracy; "stills" -> way -> accuracy. Shown in full
        at the end.

    Raises:
      DataError: a film cannot be decoded.
    """
    met = sum(bool(line.passes) for line in lines)
    tasks = [
        (name, terminal.percent(value), terminal.percent(metrics["random"][name]))
        for name, value in metrics["probes"].items()
    ]
    ways = [(way, terminal.percent(value)) for way, value in metrics["stills"].items()]
    parts = (
        *page.section(
            "Results",
            f"The mark on each bar is what guessing gives. Targets met: {met} of {len(lines)}.",
            *('<div class="cards">', *map(corpus.card, lines), "</div>"),
        ),
        *page.section(
            "Linear classifiers",
            "Share of held-out films whose class is told from frozen features.",
            page.rows(["task", "trained", "random weights"], tasks),
        ),
        *page.section(
            "Stills",
            "Category, by a classifier that learnt from the video network, which sees a still as "
            "a film in which nothing moves.",
            page.rows(["seen by", "right"], ways),
        ),
        *_examples(films, hits),
        *_curves(curves),
    )
    page.write(path, title, facts, parts, metrics)


def _examples(films: Sequence[Path], hits: np.ndarray) -> Iterator[str]:
    """Films, and those that their sounds find, evenly."""
    shown = range(0, len(films), max(len(films) // EXAMPLES, 1))[:EXAMPLES]
    cards = []
    for number in shown:
        strips = [
            f'<img alt="{escaped(one.stem)}" title="{escaped(one.stem)}" '
            f'src="{thumbnails.strip_uri(clips.Clip(one), FRAMES)}">'
            for one in (films[number], films[hits[number]])
        ]
        own = "itself" if hits[number] == number else escaped(films[hits[number]].stem)
        cards.append(
            f'<div class="panel film">{strips[0]}<p>the sound of {escaped(films[number].stem)} '
            f"finds {own}:</p>{strips[1]}</div>"
        )
    note = f"{counted(len(cards), 'film')} of {len(films)}: above its own frames, below those of "
    note += "the film that its sound finds."
    yield from page.section("Sounds find films", note, '<div class="grid3">', *cards, "</div>")


def _curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    panels: list[str] = []
    for name, rows in curves.items():
        panels += corpus.panel(f"loss of the run {name}", "loss", rows, TERMS)
    if panels:
        note = "By what videos are compared with."
        yield from page.section("Training", note, '<div class="grid2">', *panels, "</div>")

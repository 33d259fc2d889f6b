"""What a model wrote of films by sight and sound, by sight and by sound, beside what is right."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lb_jax.core.words import counted
from lb_jax.evaluation.reports import corpus, page, terminal, thumbnails, written
from lb_jax.evaluation.reports.page import escaped
from lb_jax.media import clips

GROUPS = {"tva": "sight and sound", "tv": "sight alone", "ta": "sound alone"}
STYLES = {"tva": "s-image", "tv": "s-video", "ta": "s-audio"}
TASKS = {"caption": "captions", "answer": "answers", "align": "alignment"}
WORST, OTHERS = 12, 12  # films that are shown
FRAMES = 4  # of each, side by side


class Film(NamedTuple):
    """A film and what is said of it.

    Attributes:
      id: its name.
      path: its file, shown and put into the page.
      caption: what is right.
      said: group -> what the model wrote.
      wrong: group -> how many words that count are wrong.
    """

    id: str
    path: Path
    caption: str
    said: Mapping[str, str]
    wrong: Mapping[str, int]


class Bar(NamedTuple):
    """A share that the page starts with.

    Attributes:
      name: what it is called.
      value, chance: shares.
      detail: what it is of.
      target: `(">=" or "<=", bound)`.
    """

    name: str
    value: float
    chance: float
    detail: str
    target: tuple[str, float]


def write(
    path: Path,
    films: Sequence[Film],
    bars: Sequence[Bar],
    *,
    title: str,
    facts: Mapping[str, object],
    curves: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Mapping],
) -> None:
    """Writes the page; a file of that name is replaced only once the new one is complete.

    Args:
      path: the HTML file.
      films: all that were written of; some are shown.
      bars: the numbers that count.
      title: heading of the page.
      facts: shown under the title.
      curves: rows of metrics of the training.
      metrics: "words" -> group -> kind of word -> share that is right, the last that of all;
        "answers" -> question -> share of right ones. Shown in full at the end.

    Raises:
      DataError: a film cannot be decoded.
    """
    lines = [
        terminal.Headline(one.name, one.value, one.detail, False, one.chance, one.target)
        for one in bars
    ]
    met = sum(bool(line.passes) for line in lines)
    kinds = list(next(iter(metrics["words"].values())))
    table = page.rows(
        ["group", kinds[-1], *kinds[:-1]],
        [
            [
                GROUPS[group],
                *map(terminal.percent, (shares[kinds[-1]], *list(shares.values())[:-1])),
            ]
            for group, shares in metrics["words"].items()
        ],
    )
    parts = (
        *page.section(
            "Results",
            f"The mark on each bar is what guessing gives. Targets met: {met} of {len(lines)}.",
            *('<div class="cards">', *map(corpus.card, lines), "</div>"),
        ),
        *page.section("Words that are right", f"Of {counted(len(films), 'film')}.", table),
        *_answers(metrics["answers"]),
        *_cards(films),
        *_curves(curves),
    )
    page.write(path, title, facts, parts, metrics)


def _answers(answers: Mapping[str, float]) -> Iterator[str]:
    rows = [(question, terminal.percent(share)) for question, share in answers.items()]
    table = page.rows(["question", "right answers"], rows)
    yield from page.section("Questions", "By sight and sound, of films not trained on.", table)


def _curves(rows: Sequence[Mapping[str, float]]) -> Iterator[str]:
    panels = []
    for task, name in TASKS.items():
        panels += corpus.panel(f"loss of {name}", f"loss/{task}", rows, STYLES)
    if panels:
        yield from page.section("Training", "By group.", '<div class="grid2">', *panels, "</div>")


def _cards(films: Sequence[Film]) -> Iterator[str]:
    """The films with the most wrong words, and some others, evenly."""
    best = next(iter(GROUPS))
    wrong = sorted((one for one in films if one.wrong[best]), key=lambda one: -one.wrong[best])
    right = [one for one in films if not one.wrong[best]]
    step = max(len(right) // OTHERS, 1)
    legend = "Underlined: not in the right caption, which stands in grey."
    for heading, found, shown in (
        (f"Wrong by {GROUPS[best]}", wrong, wrong[:WORST]),
        (f"Right by {GROUPS[best]}", right, right[::step][:OTHERS]),
    ):
        note = f"{len(shown)} of {counted(len(found), 'film')}. {legend if shown else ''}"
        yield from page.section(heading, note, '<div class="grid3">', *map(_card, shown), "</div>")


def _card(film: Film) -> str:
    said = "".join(
        f'<dt title="{escaped(GROUPS[group])}">{escaped(group)}</dt>'
        f'<dd class="said">{written.marked(text, [film.caption])}</dd>'
        for group, text in film.said.items()
    )
    strip = thumbnails.strip_uri(clips.Clip(film.path), FRAMES)
    shown = f"{counted(FRAMES, 'frame')} of {film.id}, the first on the left"
    uri = "data:video/mp4;base64," + base64.b64encode(film.path.read_bytes()).decode()
    return (
        f'<div class="panel film"><img alt="{escaped(shown)}" title="{escaped(shown)}" '
        f'src="{strip}"><details><summary>Play with sound</summary>'
        f'<video controls loop playsinline preload="none" src="{uri}"></video></details>'
        f'<p>{escaped(film.caption)}</p><dl class="written">{said}</dl>'
        f"<small>{escaped(film.id)}</small></div>"
    )

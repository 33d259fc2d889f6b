"""What a model wrote beside what people wrote: right and wrong words marked, pictures beside them."""

from collections.abc import Iterator, Sequence

import numpy as np

from lb_jax.evaluation.benchmarks.splits import Split
from lb_jax.evaluation.benchmarks.table import CAPTION
from lb_jax.evaluation.benchmarks.writing import Line, WrittenResult
from lb_jax.evaluation.metrics import words
from lb_jax.evaluation.reports import thumbnails
from lb_jax.evaluation.reports.page import escaped

SHOWN = 12  # texts of a task, evenly from the worst to the best
REFERENCES = 5  # shown of each
LONGEST = 300  # characters of a text


def task(split: Split, result: WrittenResult) -> Iterator[str]:
    """Yields the cards of a task, worst first."""
    order = np.argsort([line.figure for line in result.lines], kind="stable")
    places = np.linspace(0, len(order) - 1, min(len(order), SHOWN)).round().astype(int)
    cards = "".join(_card(split, result, result.lines[order[i]]) for i in places.tolist())
    note = (
        "Underlined: in no reference. CIDEr: of this caption alone."
        if result.task.kind == CAPTION
        else "Underlined: not the answer of the annotation, letter for letter."
    )
    of = f"{len(places)} of {len(order):,} texts, evenly from the worst to the best."
    yield f'<p class="note">{escaped(of)} {escaped(note)}</p><div class="grid3">{cards}</div>'


def _card(split: Split, result: WrittenResult, line: Line) -> str:
    pictures = ""
    for modality in result.task.media:
        clip = split.media[modality][line.id]
        shown = escaped(f"{modality} of {line.id}: {clip.path.name}")
        uri = thumbnails.data_uri(modality, clip)
        pictures += f'<img alt="{shown}" title="{shown}" src="{uri}">'
    if result.task.kind == CAPTION:
        said, figure = marked(line.said, line.references), f"CIDEr {100 * line.figure:.1f}"
    else:
        said = _word(line.said or "(nothing)", line.figure == 1)
        figure = "right" if line.figure == 1 else "wrong"
    asked = f'<p class="asked-for">{escaped(_cut(line.question))}</p>' if line.question else ""
    references = "".join(f"<li>{escaped(_cut(one))}</li>" for one in line.references[:REFERENCES])
    more = len(line.references) - REFERENCES
    references += f"<li>… and {more:,} more</li>" if more > 0 else ""
    kind = "good" if figure == "right" else "bad" if figure == "wrong" else ""
    return (
        f'<div class="panel written"><figure>{pictures}</figure><div>{asked}'
        f'<p class="said">{said}</p><ul>{references}</ul>'
        f'<small><span class="{kind}">{figure}</span> {escaped(line.id)}</small></div></div>'
    )


def marked(said: str, references: Sequence[str]) -> str:
    """A text with each of its words marked as being in a reference, or in none.

    Words are those that metrics count; what is no word, such as a comma, is not marked.

    Returns:
      HTML: `<b>` around words that are in a reference, `<u>` around others.
    """
    known = {word for one in references for word in words.tokenise(one)}
    found = []
    for shown in _cut(said).split():
        parts = words.tokenise(shown)
        found.append(_word(shown, all(one in known for one in parts)) if parts else escaped(shown))
    return " ".join(found) or _word("(nothing)", False)


def _word(text: str, is_right: bool) -> str:
    kind, title = ("b", "in a reference") if is_right else ("u", "in no reference")
    return f'<{kind} title="{title}">{escaped(text)}</{kind}>'


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

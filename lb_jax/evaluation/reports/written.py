"""What a model wrote beside what people wrote: right and wrong words marked, pictures beside them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks.splits import Split
from lb_jax.evaluation.benchmarks.table import ANSWER, CAPTION
from lb_jax.evaluation.benchmarks.writing import Line, WrittenResult
from lb_jax.evaluation.metrics import words
from lb_jax.evaluation.reports import details, page, thumbnails
from lb_jax.evaluation.reports.page import escaped

SHOWN = 12  # texts of a task, evenly from the worst to the best
REFERENCES = 5  # shown of each
LONGEST = 300  # characters of a text


def write(path: Path, name: str, lines: Sequence[Line], metrics: Mapping) -> None:
    """Writes the page of captions that are in a file, without pictures.

    Args:
      path: the HTML file, replaced once the new one is complete.
      name: of the file of captions.
      lines: its captions.
      metrics: `caption_files.score`'s, shown in full.
    """
    table = details.captions(metrics)
    parts = (
        *page.section(table.title, table.note, page.rows(table.columns, table.rows)),
        *page.section("Texts", "", *cards(lines, CAPTION)),
    )
    page.write(path, "lb_jax captions", {"captions": name}, parts, metrics)


def task(split: Split, result: WrittenResult) -> Iterator[str]:
    """Yields the cards of a task of a suite, with its media."""

    def pictures(id_: str) -> str:
        found = ""
        for modality in result.task.media:
            clip = split.media[modality][id_]
            shown = escaped(f"{modality} of {id_}: {clip.path.name}")
            uri = thumbnails.data_uri(modality, clip)
            found += f'<img alt="{shown}" title="{shown}" src="{uri}">'
        return f"<figure>{found}</figure>"

    yield from cards(result.lines, result.task.kind, pictures)


def cards(
    lines: Sequence[Line], kind: str, pictures: Callable[[str], str] | None = None
) -> Iterator[str]:
    """Yields some texts beside those of people, evenly from the worst to the best.

    Args:
      lines: the texts.
      kind: of the texts, `table.CAPTION` or `table.ANSWER`.
      pictures: item -> HTML that shows it; None shows none.
    """
    order = np.argsort([line.figure for line in lines], kind="stable")
    places = np.linspace(0, len(order) - 1, min(len(order), SHOWN)).round().astype(int)
    of = f"{len(places):,} of {counted(len(order), 'text')}, evenly from the worst to the best."
    note = f'<p class="note">{escaped(of)} {escaped(_NOTES[kind])}</p>'
    shown = "".join(_card(lines[order[i]], kind, pictures) for i in places.tolist())
    yield f'{note}<div class="grid3">{shown}</div>'


_NOTES = {
    CAPTION: "Underlined: in no reference. CIDEr: of this caption alone.",
    ANSWER: "Underlined: not the answer of the annotation, letter for letter.",
}


def _card(line: Line, kind: str, pictures: Callable[[str], str] | None) -> str:
    if kind == CAPTION:
        said, figure = marked(line.said, line.references), f"CIDEr {100 * line.figure:.1f}"
    else:
        is_right = line.figure == 1
        said = _word(line.said or "(nothing)", is_right)
        word = ("bad", "wrong"), ("good", "right")
        figure = '<span class="{}">{}</span>'.format(*word[is_right])
    asked = f'<p class="asked-for">{escaped(_cut(line.question))}</p>' if line.question else ""
    references = "".join(f"<li>{escaped(_cut(one))}</li>" for one in line.references[:REFERENCES])
    more = len(line.references) - REFERENCES
    references += f"<li>… and {more:,} more</li>" if more > 0 else ""
    shown = pictures(line.id) if pictures else ""
    return (
        f'<div class="panel {"written" if shown else "written plain"}">{shown}<div>{asked}'
        f'<p class="said">{said}</p><ul>{references}</ul>'
        f"<small>{figure} {escaped(line.id)}</small></div></div>"
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

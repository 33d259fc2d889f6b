"""What every report is made of: one HTML file that needs nothing else, and its parts."""

import html
import json
import os
import pathlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from lb_jax.core import names
from lb_jax.evaluation.reports import style

BROAD_CLASSES = 8  # more do not fit one column of panels


def write(
    path: str | pathlib.Path,
    title: str,
    facts: Mapping[str, object],
    parts: Iterable[str],
    metrics: Mapping,
) -> None:
    """Writes a page; a file of that name is replaced only once the new one is complete.

    Args:
      path: the HTML file.
      title: heading of the page.
      facts: shown under the title.
      parts: HTML.
      metrics: shown in full at the end.
    """
    lines = "".join(
        f"<div><dt>{escaped(key)}</dt><dd>{escaped(value)}</dd></div>"
        for key, value in facts.items()
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(title)}</title><style>{style.CSS}</style></head><body><main>
<h1>{escaped(title)}</h1>
<dl>{lines}</dl>
{"".join(parts)}
<details><summary>All numbers (metrics.json)</summary><pre>{escaped(json.dumps(metrics, indent=1))}</pre></details>
</main></body></html>
"""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    partial.write_text(names.shown(page), encoding="utf-8")
    os.replace(partial, path)


def escaped(value: object) -> str:
    """Escaped text, arrows drawn, and no line break between a number and its percent sign.

    Control characters, which HTML does not allow, are shown as their code.
    """
    text = re.sub(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", str(value)
    )
    return html.escape(text).replace("-&gt;", " → ").replace(" %", "&nbsp;%")


def section(heading: str, note: str, *content: str) -> Iterator[str]:
    """Yields a section with a line under its heading."""
    yield f"<section><h2>{escaped(heading)}</h2><p>{escaped(note)}</p>"
    yield from content
    yield "</section>"


def rows(head: Sequence[str], cells: Sequence[Sequence[object]]) -> str:
    """Returns a table whose second column is the number that matters."""
    body = ""
    for row in cells:
        name, number, *rest = (escaped(value) for value in row)
        body += (
            f"<tr><td>{name}</td><td "
            f'class="number">{number}</td>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        )
    columns = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    return f'<div class="panel scroll"><table class="wide"><tr>{columns}</tr>{body}</table></div>'


def confusion(heading: str, classes: Sequence[str], counts: np.ndarray) -> str:
    """Returns a matrix int `[c, c]`, true class down, in percent of the true class."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(
        f'<th class="up" scope="col"><span>{escaped(name)}</span></th>' for name in classes
    )
    body = ""
    for name, values in zip(classes, share, strict=True):
        cells = "".join(
            f'<td class="heat" style="--v:{v:.2f}">{f"{100 * v:.0f}" if v else ""}</td>'
            for v in values
        )
        body += f'<tr><th scope="row">{escaped(name)}</th>{cells}</tr>'
    grid = f'<div class="scroll"><table class="cells"><tr><td></td>{head}</tr>{body}</table></div>'
    width = "broad" if len(classes) > BROAD_CLASSES else ""
    return f'<div class="panel {width}"><h3>{escaped(heading)}</h3>{grid}</div>'

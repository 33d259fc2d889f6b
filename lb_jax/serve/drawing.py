"""HTML of the page's results: heat map, cards of moments, bars. Every text in it is escaped."""

import base64
import dataclasses
import html
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lb_jax.search import fits, ranking
from lb_jax.serve.captions import Written
from lb_jax.serve.searching import Found

STYLE = """
.gradio-container { max-width: 1100px !important; width: 100% !important;
  margin: 0 auto !important; }
@media (max-width: 480px) { .tab-container button { padding: 0 7px !important; } } /* all fit */
.lb-scroll { overflow-x: auto; width: 0; min-width: 100%; } /* a wide table scrolls, not the page */
.lb-heat, .lb-heat tr, .lb-heat th, .lb-heat td { border: 0 !important; }
.lb-heat { border-collapse: separate; border-spacing: 3px; font-variant-numeric: tabular-nums;
  font-size: .9rem; }
.lb-heat th { font-weight: 500; text-align: left; padding: 4px 8px; vertical-align: bottom;
  max-width: 190px; overflow-wrap: anywhere; line-height: 1.3; }
.lb-heat thead th { min-width: 84px; font-size: .8rem; }
.lb-heat tbody th { position: sticky; left: 0; z-index: 1; background: var(--body-background-fill);
  min-width: 92px; }
.lb-heat td { text-align: center; padding: 12px 8px; border-radius: 6px; min-width: 64px;
  background: color-mix(in srgb, #3478f6 calc(var(--v) * 75%), var(--background-fill-secondary)); }
.lb-heat td.lb-best { outline: 2px solid #3478f6; font-weight: 700; }
.lb-heat td.lb-none { background: none; opacity: .5; }
.lb-heat img { display: block; width: 72px; height: 54px; object-fit: cover; border-radius: 6px;
  margin-bottom: 3px; }
.lb-kind { display: block; font-size: .72rem; opacity: .7; }
.lb-note { font-size: .875rem; opacity: .8; margin: 8px 0; overflow-wrap: anywhere; }
.lb-block { margin: 20px 0 8px; font-size: 1rem; text-transform: capitalize; }
.lb-said { font-size: 1.2rem; line-height: 1.4; margin: 10px 0 0; overflow-wrap: anywhere; }
.lb-bad { border-left: 4px solid #d4380d; background: color-mix(in srgb, #d4380d 12%, transparent);
  padding: 10px 14px; border-radius: 6px; overflow-wrap: anywhere; }
.lb-cards { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
.lb-card { border: 1px solid var(--border-color-primary); border-radius: 10px; overflow: hidden;
  background: var(--background-fill-primary); }
.lb-card video, .lb-card img { display: block; width: 100%; height: 170px; object-fit: contain;
  background: #111; }
.lb-card audio { display: block; width: calc(100% - 20px); margin: 14px 10px 4px; }
.dark .lb-card { color-scheme: dark; } /* the players, too */
.lb-card div { padding: 10px 12px; overflow-wrap: anywhere; font-size: .875rem; line-height: 1.45; }
.lb-card b { font-size: .95rem; }
.lb-card small { opacity: .7; display: block; }
.lb-bar { display: grid; grid-template-columns: 1fr 64px; gap: 2px 10px; align-items: center;
  margin: 12px 0; font-variant-numeric: tabular-nums; }
.lb-bar span { grid-column: 1 / -1; overflow-wrap: anywhere; line-height: 1.3; }
.lb-bar i { display: block; height: 16px; border-radius: 5px; background: #3478f6; min-width: 2px; }
.lb-bar b { text-align: right; font-weight: 600; }
"""
# What a caption is written from, in words.
GROUPS = {"tva": "sight and sound", "tv": "sight", "ta": "sound"}
VALUES = {
    "cosine": ("Cosine", "of the two vectors, from −1 to 1"),
    "probability": (
        "Calibrated probability",
        "that the two belong together, as likely as not before",
    ),
    "logits": (
        "Logits",
        "cosine times the modality's inverse temperature; of media with text only",
    ),
}


# What is shown -> what a search is ranked by; "" goes by what is given.
RANKINGS = {
    "vectors, with a text captions too": "",
    "vectors": ranking.VECTOR,
    "words of captions": ranking.CAPTION,
}


@dataclasses.dataclass(frozen=True)
class Label:
    """A row or column of the heat map.

    Attributes:
      name: of the file, or the text.
      modality: what it is.
      picture: JPEG; None without.
    """

    name: str
    modality: str
    picture: bytes | None = None


def heat_map(
    rows: Sequence[Label], columns: Sequence[Label], value: str, cells: np.ndarray, missing: str
) -> str:
    """A table whose cells say and show a value.

    Args:
      rows, columns: their labels.
      value: a key of `VALUES`.
      cells: float [rows, columns]; NaN where there is no such value.
      missing: why some are missing.
    """
    title, what = VALUES[value]
    known = cells[np.isfinite(cells)]
    if not known.size:
        return bad(f"There is no {title.lower()} here: {missing}")
    low, high = (0.0, 1.0) if value == "probability" else (known.min(), known.max())
    head = "".join(f"<th>{_label(one)}</th>" for one in columns)
    body = []
    for row, line in zip(rows, cells, strict=True):
        best = np.nanmax(line) if np.isfinite(line).any() else np.nan
        body.append(
            f"<tr><th>{_label(row)}</th>"
            + "".join(_cell(cell, value, low, high, is_best=cell == best) for cell in line)
            + "</tr>"
        )
    note = f"{title}: {what}. The best of each row is framed."
    if len(known) < cells.size:
        note += f" –: {missing}"
    return (
        f'<div class="lb-scroll"><table class="lb-heat" data-value="{value}"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<p class="lb-note">{html.escape(note)}</p>'
    )


def cards(found: Sequence[Found], by: str = ranking.VECTOR) -> str:
    """Results of a search: players that start at the moment, pictures, scores by name.

    Args:
      found: the best first.
      by: what they are ranked by.
    """
    if not found and by == ranking.CAPTION:
        return _note("No caption of what fits these filters has a word of the text.")
    if not found:
        return '<p class="lb-note">Nothing in the store fits these filters.</p>'
    if not fits.is_grouped(found):
        return _why(found) + _grid(found)
    blocks = [(name, list(block)) for name, block in itertools.groupby(found, _modality)]
    told = [_why(block) for _, block in blocks]
    shared = told[0] if len(set(told)) == 1 else ""
    return (
        shared
        + _note("Cosines of different modalities do not compare: a block for each.")
        + "".join(
            f'<h3 class="lb-block">{name}</h3>{"" if shared else why}{_grid(block)}'
            for (name, block), why in zip(blocks, told, strict=True)
        )
    )


def bars(labels: Sequence[str], shares: Sequence[float], note: str) -> str:
    """Labels with their probability, the most probable first."""
    order = np.argsort(-np.asarray(shares))
    rows = "".join(
        f'<div class="lb-bar"><span>{html.escape(labels[place])}</span>'
        f'<i style="width:{100 * shares[place]:.1f}%"></i>'
        f"<b>{percent(shares[place], 1)}</b></div>"
        for place in order
    )
    return f'{rows}<p class="lb-note">{html.escape(note)}</p>'


def said(written: Written, name: str, question: str | None = None) -> str:
    """A caption, or the answer to a question; of which file, and what it was written from.

    Args:
      written: what is shown.
      name: of the file.
      question: that was asked; None of a caption.
    """
    kind = "Caption of" if question is None else f"Answer to “{question.strip()}” about"
    text = html.escape(written.text) or "<i>no word</i>"
    note = f"{kind} {name}, written from {GROUPS[written.group]}."
    return f'<p class="lb-said">{text}</p>{_note(note)}'


def bad(message: str) -> str:
    """A message about what cannot be done."""
    return f'<p class="lb-bad" role="alert">{html.escape(message)}</p>'


def _why(found: Sequence[Found]) -> str:
    """Why some have no probability, each reason once."""
    reasons = dict.fromkeys(one.withheld for one in found if one.withheld)
    return "".join(_note(f"No probability: {reason}.") for reason in reasons)


def _grid(found: Sequence[Found]) -> str:
    return f'<div class="lb-cards">{"".join(map(_card, found))}</div>'


def _note(text: str) -> str:
    return f'<p class="lb-note">{html.escape(text)}</p>'


def _modality(found: Found) -> str:
    return found.modality


def _label(label: Label) -> str:
    picture = ""
    if label.picture is not None:
        data = base64.b64encode(label.picture).decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    return (
        f"{picture}{html.escape(label.name)}"
        f'<span class="lb-kind">{html.escape(label.modality)}</span>'
    )


def _cell(cell: float, value: str, low: float, high: float, *, is_best: bool) -> str:
    if not np.isfinite(cell):
        return '<td class="lb-none">–</td>'
    share = (cell - low) / (high - low) if high > low else 0.5
    told = percent(cell) if value == "probability" else f"{cell:.2f}"
    best = ' class="lb-best"' if is_best else ""
    return f'<td{best} style="--v:{share:.3f}">{told}</td>'


def _card(found: Found) -> str:
    begins, when = "", ""
    if found.start_s is not None:
        begins = f"#t={found.start_s:g},{found.end_s:g}"
        when = f" · {_clock(found.start_s)} to {_clock(found.end_s)}"
    source, poster = f"/media/{found.link}{begins}", f"/media/{found.link}/thumbnail"
    if found.modality == "video":
        at = f"{poster}?start_s={found.start_s or 0:g}"
        shown = f'<video controls preload="metadata" src="{source}" poster="{at}"></video>'
    elif found.modality == "audio":
        shown = f'<audio controls preload="metadata" src="{source}"></audio>'
    else:
        at = f"{poster}?start_s={found.start_s:g}" if found.start_s is not None else poster
        shown = f'<img loading="lazy" alt="" src="{at}">'
    scores = f"cosine {found.cosine:.3f}"
    if found.probability is not None:
        scores = f"probability {percent(found.probability)} · {scores}"
    path = Path(found.path)
    caption = "" if found.caption is None else f"<br><q>{html.escape(found.caption)}</q>"
    return (
        f'<article class="lb-card" data-modality="{found.modality}">{shown}<div>'
        f"<b>{html.escape(path.name)}</b>{when}<br>{scores}{caption}"
        f"<small>{found.modality} · {html.escape(path.parent.name)}/</small></div></article>"
    )


def percent(share: float, digits: int = 0) -> str:
    """A probability in HTML; never rounded to certainty."""
    step = 10.0**-digits
    if 100 * share < step:
        return f"&lt; {step:g} %"
    if 100 * share > 100 - step:
        return f"&gt; {100 - step:g} %"
    return f"{100 * share:.{digits}f} %"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}:{rest:04.1f}"

"""Writes an evaluation as one HTML file that needs nothing else.

It shows numbers, curves, confusions, examples.
"""

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lb_jax.core import modalities
from lb_jax.core.words import counted
from lb_jax.evaluation import evaluate, labelled
from lb_jax.evaluation.metrics import scoring
from lb_jax.evaluation.reports import figures, page, terminal, thumbnails
from lb_jax.evaluation.reports.page import escaped

SIMILARITY_ITEMS = 24
QUERIES = 4
HITS = 5
TOTAL = "total"
# Curve -> its class in `style`; text: captions bound to each other.
STYLES = {name: f"s-{name}" for name in (TOTAL, *modalities.MODALITIES, modalities.TEXT)}


def write_report(
    path: str | pathlib.Path,
    result: evaluate.Result,
    *,
    curves: Mapping[str, Sequence[Mapping[str, float]]],
    title: str,
    facts: Mapping[str, object],
    targets: Mapping[str, tuple[str, float]] | None = None,
) -> None:
    """Writes the report; a file of that name is replaced only once the new one is complete.

    Args:
      path: the HTML file.
      result: of `evaluate.evaluate`; its media files must still be there, they are shown in small.
      curves: name of a training run -> its rows of metrics, each with "step", "loss" and possibly
        "loss/<modality>" and "logit_scale/<modality>".
      title: heading of the page.
      facts: shown under the title: seed, number of items, machine, seconds, ….
      targets: headline name -> `(">=" or "<=", bound)`, see `terminal.headlines`.

    Raises:
      ConfigError: a target names no headline.
      DataError: a media file cannot be decoded.
    """
    sections = (
        _headlines(result, targets),
        _curves(curves),
        _zero_shot(result),
        _retrieval(result),
        _emergent(result),
        _similarity(result),
        _examples(result),
        _problems(result),
    )
    parts = itertools.chain.from_iterable(sections)
    page.write(path, title, facts, parts, result.metrics)


def _headlines(
    result: evaluate.Result, targets: Mapping[str, tuple[str, float]] | None
) -> Iterator[str]:
    lines = terminal.headlines(result.metrics, targets)
    lines = [line for line in lines if line.target] or lines  # the tables below hold the rest
    checked = [line.passes for line in lines if line.target]
    note = "The mark on each bar is what guessing gives."
    if checked:
        note += f" Targets met: {sum(checked)} of {len(checked)}."
    yield from page.section("Results", note, '<div class="cards">', *map(card, lines), "</div>")


def card(line: terminal.Headline) -> str:
    """A number with its bar, what guessing gives and whether its target is met."""
    full = (
        1.0
        if not line.is_multiple
        else max(line.value, 1.0, line.target[1] if line.target else 0) * 1.1
    )
    bar = f'<div class="bar"><i style="width:{100 * line.value / full:.1f}%"></i>'
    guess = line.chance
    bar += "" if guess is None else f'<b style="left:{100 * guess / full:.1f}%"></b>'
    bar += "</div>"
    chance = "" if line.is_multiple or guess is None else f" · chance {terminal.percent(guess)}"
    target = ""
    if line.target:
        relation = {">=": "at least", "<=": "at most"}[line.target[0]]
        verdict, word = ("good", "✓ met") if line.passes else ("bad", "✗ missed")
        target = (
            f'<small class="{verdict}">{word}: {relation} '
            f"{escaped(line.format(line.target[1]))}</small>"
        )
    name = escaped(line.name).replace("_", "_<wbr>").replace("/", "/<wbr>")
    return (
        f'<div class="card"><div class="name">{name}</div><div '
        f'class="value">{escaped(line.shown)}</div>{bar}'
        f"<small>{escaped(line.detail)}{chance}</small>{target}</div>".replace(" %", "\u00a0%")
    )


def _curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    panels = []
    for run, rows in curves.items():
        panels += panel(f"{run}: loss", "loss", rows, STYLES)
        panels += panel(f"{run}: logit scale", "logit_scale", rows, STYLES)
    if panels:
        yield from page.section(
            "Training",
            "Contrastive loss and learned temperature.",
            '<div class="grid2">',
            *panels,
            "</div>",
        )


def panel(
    heading: str, key: str, rows: Sequence[Mapping[str, float]], styles: Mapping[str, str]
) -> Iterator[str]:
    """One chart of `key` and of every `key/<name>` of `styles`, where the rows have any."""
    columns = {name: key if name == TOTAL else f"{key}/{name}" for name in styles}
    series = {}
    lost = 0
    for name, column in columns.items():
        points = np.array(
            [(row["step"], row[column]) for row in rows if column in row], float
        ).reshape(-1, 2)
        finite = np.isfinite(points[:, 1])
        lost += int(np.sum(~finite))
        if finite.any():
            series[name] = tuple(points[finite].T)
    if not series:
        return
    legend = "".join(
        f'<span><i class="{styles[name]}"></i>{name} {y[-1]:.3g}</span>'
        for name, (_, y) in series.items()
    )
    warning = (
        f'<small class="bad">{counted(lost, "value")} not finite and not drawn</small>'
        if lost
        else ""
    )
    label = f"{heading}; last values: " + ", ".join(
        f"{name} {y[-1]:.3g}" for name, (_, y) in series.items()
    )
    chart = figures.line_chart(series, {name: styles[name] for name in series}, label)
    yield (
        f'<div class="panel"><h3>{escaped(heading)}</h3><div '
        f'class="legend">{legend}</div>{chart}{warning}</div>'
    )


def _zero_shot(result: evaluate.Result) -> Iterator[str]:
    scores = result.metrics["zero_shot"]
    if not scores:
        return
    rows = [(task, row["top1"], row["chance"], row["n"]) for task, row in scores.items()]
    cells = [
        (task, terminal.percent(top1), terminal.percent(chance), n)
        for task, top1, chance, n in rows
    ]
    note = (
        "The class whose prompts are nearest. Rows marked shuffled see the frames of "
        "each clip in another order."
    )
    yield from page.section(
        "Zero-shot classification", note, page.rows(("task", "top-1", "chance", "n"), cells)
    )
    by_size = sorted(
        result.confusion.items(), key=lambda item: len(item[1].classes)
    )  # panels of a row then line up
    matrices = [page.confusion(task, matrix.classes, matrix.counts) for task, matrix in by_size]
    yield (
        "<p>Confusions in percent of the true class (rows).</p><div "
        f'class="grid3">{"".join(matrices)}</div>'
    )


def _retrieval(result: evaluate.Result) -> Iterator[str]:
    cells = []
    for name, row in result.metrics["retrieval"].items():
        for direction, side in ((f"text->{name}", "text_to_x"), (f"{name}->text", "x_to_text")):
            cells.append(
                (
                    direction,
                    *_recall(row[side], row[side].get("chance_R@1", row["chance_R@1"])),
                    row["n"],
                )
            )
    note = f"{_BELONGS[result.corpus.by_caption]} Equal scores count as mistakes."
    head = ("direction", *terminal.RECALL, "chance R@1", "median rank", "mean rank", "n")
    yield from page.section("Retrieval", note, page.rows(head, cells))


# whether items of an equal caption are right for each other -> which pairs belong together
_BELONGS = {
    False: "Only an item and its own caption belong together, word for word.",
    True: "Items of an equal caption are right for each other: each caption asks once, and the best "
    "of the items that carry it counts.",
}


def _recall(row: Mapping[str, float], chance: float) -> tuple[str, ...]:
    recall = (terminal.percent(row[key]) for key in terminal.RECALL)
    return *recall, terminal.percent(chance), f"{row['median_rank']:g}", f"{row['mean_rank']:.1f}"


def _emergent(result: evaluate.Result) -> Iterator[str]:
    pairs = result.metrics["emergent"]
    if not pairs:
        return
    best = max(row["R@1"] for row in pairs.values()) or 1.0
    head = "".join(f'<th scope="col">{name}</th>' for name in result.embeddings)
    body = ""
    for query in result.embeddings:
        body += f'<tr><th scope="row">{query}</th>'
        for target in result.embeddings:
            row = pairs.get(f"{query}->{target}")
            shown = (
                f"{terminal.percent(row['R@1'])}<small>{row['times_chance']:.1f}×</small>"
                if row
                else "–"
            )
            body += (
                f'<td class="heat" style="--v:{row["R@1"] / best if row else 0:.2f}">{shown}</td>'
            )
        body += "</tr>"
    note = (
        "Pairs that were never trained together: R@1 when a file of the row's "
        "modality looks for its partner in the "
        "column's modality, and how many times that is what guessing gives."
    )
    grid = (
        '<div class="panel scroll"><table class="cells '
        f'emergent"><tr><th>query</th>{head}</tr>{body}</table></div>'
    )
    yield from page.section("Emergent retrieval", note, grid)


def _kin(result: evaluate.Result, modality: str) -> str | None:
    """Attribute by which a modality's items are called alike: that of its first zero-shot task."""
    return next((task.attribute for task in result.corpus.tasks if task.modality == modality), None)


def _spread(result: evaluate.Result, modality: str, count: int) -> list[int]:
    """Up to `count` rows of a modality, evenly from all groups of alike items.

    Chosen by place, never by score.
    """
    attribute = _kin(result, modality)
    ids = result.ids[modality]
    order = sorted(
        range(len(ids)), key=lambda i: result.corpus.attributes[ids[i]].get(attribute, "")
    )
    return [
        order[i]
        for i in np.linspace(0, len(order), min(count, len(order)), endpoint=False).astype(int)
    ]


def _similarity(result: evaluate.Result) -> Iterator[str]:
    panels = []
    for name, embeddings in result.embeddings.items():
        rows = _spread(result, name, SIMILARITY_ITEMS)
        attribute = _kin(result, name)
        groups = [result.corpus.attributes[result.ids[name][i]].get(attribute, "") for i in rows]
        matrix = scoring.cosine(result.captions[name][rows], embeddings[rows])
        spread = f"from {matrix.min():.2f} to {matrix.max():.2f}"
        label = (
            f"Cosine of {counted(len(rows), 'caption')} (rows) and {name} files (columns), {spread}"
        )
        picture = figures.heat_map(matrix, groups, label)
        panels.append(
            '<div class="panel"><h3>text × '
            f"{name}</h3>{picture}<small>{escaped(label)}.</small></div>"
        )
    note = (
        "Held-out items, sorted by what the modality shows. A strong diagonal: each "
        "caption finds its own item."
    )
    yield from page.section("Similarity", note, '<div class="grid3">', *panels, "</div>")


def _examples(result: evaluate.Result) -> Iterator[str]:
    shown = [name for name in result.embeddings if name != "audio"]
    blocks = []
    if shown:
        for i in _spread(result, shown[0], QUERIES):
            blocks.append(_text_query(result, result.ids[shown[0]][i], shown))
    if "audio" in result.embeddings:
        blocks += [_hearing(result, i, shown) for i in _spread(result, "audio", QUERIES)]
    note = (
        "Queries are picked by place, not by success. ✓ is the item itself; a dashed "
        "frame is another item that is "
        "alike in the attribute written below it."
    )
    if blocks:
        yield from page.section("Examples", note, *blocks)


def _text_query(result: evaluate.Result, id_: str, targets: Sequence[str]) -> str:
    hits = ""
    for name in targets:
        if id_ in result.ids[name]:
            hits += _hits(result, result.captions[name][result.ids[name].index(id_)], id_, name)
    caption = result.corpus.said(id_, targets[0])
    return f'<div class="panel query"><h3>“{escaped(caption)}”</h3><div class="grid2">{hits}</div></div>'


def _hearing(result: evaluate.Result, row: int, targets: Sequence[str]) -> str:
    """A sound and the still pictures nearest to it: a pair that was never trained together."""
    id_ = result.ids["audio"][row]
    hits = "".join(
        _hits(result, result.embeddings["audio"][row], id_, name)
        for name in targets
        if name == "image"
    )
    caption = result.corpus.said(id_, "audio")
    heading = (
        f"<h3>Sound: {escaped(caption)}<small>The words are shown for you; only the "
        "sound is searched with.</small></h3>"
    )
    asked = f'<div class="asked">{_thumbnail(result, "audio", id_)}</div>'
    return f'<div class="panel query"><div class="asking">{asked}{heading}</div>{hits}</div>'


def _hits(result: evaluate.Result, query: np.ndarray, id_: str, modality: str) -> str:
    attribute = _kin(result, modality)
    attributes = result.corpus.attributes
    similarity = scoring.cosine(query[None], result.embeddings[modality])[0]
    found_items = ""
    for i in np.argsort(-similarity, kind="stable")[:HITS]:
        found = result.ids[modality][i]
        value = attributes[found].get(attribute, "")
        alike = attribute is not None and value == attributes[id_].get(attribute)
        kind, mark = ("right", "✓ ") if found == id_ else ("kin", "") if alike else ("wrong", "✗ ")
        caption = f"<figcaption>{mark}{escaped(value)} {similarity[i]:.2f}</figcaption>"
        found_items += (
            f'<figure class="{kind}">{_thumbnail(result, modality, found)}{caption}</figure>'
        )
    return f'<div class="hits"><span>{modality}</span>{found_items}</div>'


def _problems(result: evaluate.Result) -> Iterator[str]:
    if result.problems:
        cells = [(one.name, one.modality or "", one.kind, one.reason) for one in result.problems]
        yield from page.section(
            "Left out",
            f"Rows or files that cannot be used and took no part: {len(cells)}.",
            page.rows(("item", "modality", "kind", "reason"), cells),
        )


def _thumbnail(result: evaluate.Result, modality: str, id_: str) -> str:
    corpus = result.corpus
    shown = escaped(f"{modality} of item {id_}: {corpus.shown(id_, modality)}")
    if isinstance(corpus.files[id_][modality], labelled.Inside):
        uri = thumbnails.data_uri_of(modality, corpus.media(id_, modality))
    else:
        uri = thumbnails.data_uri(modality, corpus.clip(id_, modality))
    return f'<img alt="{shown}" title="{shown}" src="{uri}">'

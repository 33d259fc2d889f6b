"""Writes a suite as one HTML file that needs nothing else.

It shows the published tables beside ours, then each benchmark: classes, confusions, the hardest
queries, what was written, how the scores of right and wrong pairs lie, and where the modalities lie in the space.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence, Sized

import numpy as np

from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.core.words import noun
from lb_jax.evaluation.benchmarks import published
from lb_jax.evaluation.benchmarks.bench import TaskResult
from lb_jax.evaluation.benchmarks.suite import BenchmarkResult, SuiteResult
from lb_jax.evaluation.benchmarks.writing import WrittenResult
from lb_jax.evaluation.reports import details, figures, page, thumbnails, written
from lb_jax.evaluation.reports.page import escaped

MATRIX_CLASSES = 30  # more are shown as a list of the commonest confusions
CONFUSIONS, HARDEST = 20, 6
SCORED = 300  # rows whose scores, and whose places in the space, are drawn
BINS = 48


def write(path: str | pathlib.Path, result: SuiteResult, metrics: Mapping) -> None:
    """Writes the report; a file of that name is replaced only once the new one is complete.

    Args:
      path: the HTML file.
      result: of `suite.run`; the media files must still be there, some are shown in small.
      metrics: `results.to_json` of it, with "model", "digest" and "family".
    """
    settings = {name: _in_words(value) for name, value in metrics["settings"].items()}
    told = {name: metrics[name] for name in ("model", "family") if name in metrics}
    facts = {**told, "digest": metrics["digest"][:16], **settings}
    tables = published.tables(metrics)
    title = "lb_jax on the published benchmarks" if tables else "lb_jax evaluation"
    sections = [
        *(_table(one) for one in tables),
        *(_table(one) for one in details.details(metrics)),
        *("".join(_benchmark(name, one)) for name, one in result.benchmarks.items()),
    ]
    page.write(path, title, facts, sections, metrics)


def write_beside(
    path: str | pathlib.Path, measured: Sequence[Mapping], compared: Sequence[published.Table]
) -> None:
    """Writes several models side by side: the published tables with all of them, differences.

    Args:
      path: the HTML file.
      measured: `results.to_json` of each, with "model", "digest" and "family".
      compared: of `compare.differences`.
    """
    names = published.names(*measured)
    facts = {name: one.get("model", "") for name, one in zip(names, measured, strict=True)}
    tables = (*published.tables(*measured), *compared)
    content = dict(zip(names, measured, strict=True))
    page.write(path, "lb_jax: models side by side", facts, map(_table, tables), content)


def _in_words(value: object) -> object:
    """A setting as it stands in the report's head."""
    if isinstance(value, Mapping):
        value = [f"{name} {one:g}" for name, one in value.items()]
    return (", ".join(value) or "none") if isinstance(value, list | tuple) else value


def _table(table: published.Table) -> str:
    sizes = {"row": len(table.rows), "column": len(table.columns)}
    first = sizes.get(table.ours, 0) - table.measured
    body = ""
    for i, words in enumerate(table.rows):
        cells = ""
        for j, word in enumerate(words):
            place = {"row": i, "column": j}.get(table.ours, -1)
            kind = ' class="number"' if place >= first >= 0 else ""
            cells += f"<td{kind}>{escaped(word)}</td>"
        body += f"<tr>{cells}</tr>"
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in table.columns)
    kind = "wide" if table.ours else "wide words"
    grid = f'<div class="panel scroll"><table class="{kind}"><tr>{head}</tr>{body}</table></div>'
    return "".join(page.section(table.title, table.note, grid))


def _benchmark(name: str, result: BenchmarkResult) -> Iterator[str]:
    whole = result.published["items"]
    of = f" of {whole:,} published" if whole else ""
    items = f"{_some(result.split.ids, 'item')}{of}, {_some(result.problems, 'problem')}."
    parts = [part for task in result.tasks.values() for part in _task(result, task)]
    for task in result.written.values():
        parts += [_heading(task), *written.task(result.split, task)]
    yield from page.section(f"{result.title} ({name})", items, *parts, _gap(result))


def _some(ones: Sized, what: str) -> str:
    return f"{len(ones):,} {noun(len(ones), what)}"


def _heading(task: TaskResult | WrittenResult) -> str:
    outcome = task.outcome
    shown = []
    for key, value in outcome.metrics.items():
        shown.append(details.figure(key, value))
        if key in outcome.interval:
            low, high = outcome.interval[key]
            shown[-1] += f" ({100 * low:.1f} to {100 * high:.1f})"
    figures_shown = escaped(", ".join(shown))
    return f"<h3>{escaped(task.task)}<small>{_some(task.ids, 'item')}; {figures_shown}</small></h3>"


def _task(result: BenchmarkResult, task: TaskResult) -> Iterator[str]:
    yield _heading(task)
    panels = [*_classes(result, task), _histogram(result, task)]
    yield f'<div class="tiles">{"".join(panels)}</div>'
    if task.outcome.rank is not None:
        yield _hardest(result, task)


def _classes(result: BenchmarkResult, task: TaskResult) -> Iterator[str]:
    outcome = task.outcome
    if outcome.per_class is None:
        return
    rows = [
        (name, f"{100 * value:.1f}")
        for name, value in zip(result.names, outcome.per_class, strict=True)
        if value is not None
    ]
    rows.sort(key=lambda row: float(row[1]))
    what = "recall" if outcome.predicted is not None else "average precision"
    grid = page.rows(("class, worst first", what), rows)
    yield f'<details class="panel"><summary>All classes ({len(rows)})</summary>{grid}</details>'
    if outcome.predicted is not None:
        yield _confusion(result, task)


def _confusion(result: BenchmarkResult, task: TaskResult) -> str:
    names = result.names
    column = {label: i for i, label in enumerate(result.classes)}
    truth = np.array([column[result.split.labels[id_][0]] for id_ in task.ids])
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, task.outcome.predicted), 1)
    if len(names) <= MATRIX_CLASSES:
        return page.confusion("Confusions", names, counts)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [np.unravel_index(i, counts.shape) for i in order]
    rows = [(names[i], names[j], counts[i, j]) for i, j in pairs if counts[i, j]]
    grid = page.rows(("shown", "taken for", "times"), rows)
    return f'<div class="panel"><h3>Commonest confusions</h3>{grid}</div>'


def _right(result: BenchmarkResult, task: TaskResult) -> np.ndarray:
    """Bool `[q, m]` of up to `SCORED` queries: which targets are right."""
    count, others = min(len(task.queries), SCORED), np.arange(len(task.targets))
    if task.owner is None and result.classes and task.task.target == (TEXT,):
        column = {label: i for i, label in enumerate(result.classes)}
        found = np.zeros((count, len(others)), bool)
        for row, id_ in zip(found, task.ids, strict=False):
            row[[column[label] for label in result.split.labels[id_]]] = True
        return found
    if task.owner is None:
        return np.eye(count, len(others), dtype=bool)
    if task.task.query == (TEXT,):
        return task.owner[:count, None] == others[None]
    return np.arange(count)[:, None] == task.owner[None]


def _histogram(result: BenchmarkResult, task: TaskResult) -> str:
    right = _right(result, task)
    scores = task.similarity(0, len(right))
    edges = np.linspace(scores.min(), max(scores.max(), scores.min() + 1e-6), BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    series = {}
    for name, chosen in (("right", scores[right]), ("wrong", scores[~right])):
        if len(chosen):
            series[name] = centres, np.histogram(chosen, edges)[0] / len(chosen)
    label = f"Scores of right and wrong pairs of {task.task}, share of each"
    styles = {"right": "s-depth", "wrong": "s-total"}
    legend = figures.legend({name: styles[name] for name in series})
    chart = figures.line_chart(series, styles, label, across="score")
    return f'<div class="panel"><h3>Scores</h3>{legend}{chart}</div>'


def _hardest(result: BenchmarkResult, task: TaskResult) -> str:
    """The queries whose right answer ranks lowest, with it and with what was found instead."""
    rank = task.outcome.rank
    cards = ""
    for i in np.argsort(-rank, kind="stable")[:HARDEST].tolist():
        if rank[i] == 1:
            break
        scores = task.similarity(i, 1)[0].copy()
        right = _answers(result, task, i)
        scores[right] = -np.inf
        found = int(np.argmax(scores))
        cards += (
            '<div class="panel trio">'
            f"<figure>{_query(result, task, i)}<figcaption>asked</figcaption></figure>"
            f'<figure class="right">{_target(result, task, right[0])}'
            f"<figcaption>right, rank {rank[i]:,}</figcaption></figure>"
            f"<figure>{_target(result, task, found)}<figcaption>found first</figcaption></figure>"
            "</div>"
        )
    return f'<h3>Hardest queries</h3><div class="grid3">{cards}</div>' if cards else ""


def _answers(result: BenchmarkResult, task: TaskResult, query: int) -> list[int]:
    """The targets that are right for a query."""
    if task.owner is not None and task.task.target == (TEXT,):
        return np.flatnonzero(task.owner == query).tolist()
    if task.owner is not None:
        return [int(task.owner[query])]
    if task.task.target == (TEXT,):
        return [result.classes.index(label) for label in result.split.labels[task.ids[query]]]
    return [query]


def _query(result: BenchmarkResult, task: TaskResult, i: int) -> str:
    if task.task.query == (TEXT,):
        return _words(_captions(result, task)[i])
    return _media(result, task.task.query, task.ids[i])


def _target(result: BenchmarkResult, task: TaskResult, j: int) -> str:
    if task.task.target != (TEXT,):
        return _media(result, task.task.target, task.ids[j])
    return _words(result.names[j] if result.classes else _captions(result, task)[j])


def _captions(result: BenchmarkResult, task: TaskResult) -> list[str]:
    return [text for id_ in task.ids for text in result.split.texts[id_]]


def _words(text: str) -> str:
    return f"<blockquote>{escaped(text if len(text) < 200 else text[:199] + '…')}</blockquote>"


def in_unit(found: SuiteResult, unit: str) -> SuiteResult:
    """A result whose depth files are shown in a unit, as the model read them."""
    benchmarks = {
        name: dataclasses.replace(one, split=one.split.in_unit(unit))
        for name, one in found.benchmarks.items()
    }
    return dataclasses.replace(found, benchmarks=benchmarks)


def _media(result: BenchmarkResult, side: Sequence[str], id_: str) -> str:
    pictures = ""
    for modality in side:
        if modality != TEXT:
            clip = result.split.media[modality][id_]
            shown = escaped(f"{modality} of {id_}: {clip.path.name}")
            uri = thumbnails.data_uri(modality, clip)
            pictures += f'<img alt="{shown}" title="{shown}" src="{uri}">'
    return pictures


def _gap(result: BenchmarkResult) -> str:
    """Where texts and media lie, in the two directions in which they differ most."""
    if len(result.samples) < 2:
        return ""
    rows = {
        name: vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), SCORED)).astype(int)]
        for name, vectors in result.samples.items()
    }
    everything = np.concatenate(list(rows.values())).astype(np.float64)
    centre = everything.mean(0)
    directions = np.linalg.svd(everything - centre, full_matrices=False)[2][:2]
    points = {name: (one - centre) @ directions.T for name, one in rows.items()}
    styles = {name: f"s-{name}" for name in (*MODALITIES, TEXT)}
    label = f"Embeddings of {', '.join(rows)} in their two main directions"
    chart = figures.scatter(points, styles, label)
    legend = figures.legend({name: styles[name] for name in rows})
    return f'<div class="panel gap"><h3>Modality gap</h3>{legend}{chart}</div>'

"""What a suite measured as tables: all figures, fusions, health, problems, what was not run."""

from collections.abc import Mapping

from lb_jax.core import words
from lb_jax.evaluation.benchmarks import published, splits

PROBLEMS_SHOWN = 10


def details(metrics: Mapping) -> list[published.Table]:
    """What was measured, of `results.to_json`: all figures, fusions, health, problems."""
    made = (_figures(metrics), _drop_one(metrics), _health(metrics), _problems(metrics))
    return [one for one in (*made, _left_out(metrics)) if one.rows]


def _figures(metrics: Mapping) -> published.Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for task, found in benchmark["tasks"].items():
            star = "" if published.is_whole(benchmark, found) else published.INCOMPLETE
            count = f"{found['n']:,}{star}"
            shown = [figure(key, value) for key, value in found["metrics"].items()]
            headline = next(iter(found["metrics"]))
            if headline in found["interval"]:
                low, high = found["interval"][headline]
                shown[0] += f" ({100 * low:.1f} to {100 * high:.1f})"
            rows.append(
                (name, task, count, ", ".join(shown), f"{round(100 * found['chance'], 6):.2g}")
            )
    heads = ("benchmark", "task", "items", "figures", "chance")
    stars = any(count.endswith(published.INCOMPLETE) for _, _, count, *_ in rows)
    note = (
        "Percent, but for ranks and d'. Chance and 95 % interval are of the first figure; the "
        f"other intervals are in metrics.json.{' * not the whole split.' if stars else ''}"
    )
    return published.Table("All figures", heads, tuple(rows), note)


def captions(found: Mapping) -> published.Table:
    """The figures of `caption_files.score`."""
    rows = []
    for name, value in found["metrics"].items():
        low, high = found["interval"].get(name, (None, None))
        limits = published.NOTHING if low is None else f"{100 * low:.1f} to {100 * high:.1f}"
        rows.append((name, f"{100 * value:.1f}", limits))
    sizes = words.counted(found["n"], "item"), words.counted(found["references"], "reference")
    note = f"times 100; {', '.join(sizes)}; {found['tokeniser']}"
    return published.Table("Captions", ("figure", "value", "95 %"), tuple(rows), note)


def figure(name: str, value: float) -> str:
    """A figure with its name, in percent but for ranks and d'."""
    percent = not name.endswith("_rank") and name != "d_prime"
    return f"{name} {100 * value:.1f}" if percent else f"{name} {value:.4g}"


def _drop_one(metrics: Mapping) -> published.Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for task, found in benchmark["tasks"].items():
            headline, whole = next(iter(found["metrics"].items()))
            for modality, less in found["drop_one"].items():
                gain = 100 * (whole - less[headline])
                cells = (f"{100 * whole:.1f}", f"{100 * less[headline]:.1f}", f"{gain:+.1f}")
                rows.append((name, task, headline, modality, *cells))
    heads = ("benchmark", "task", "figure", "without", "all", "less", "it brings")
    return published.Table(
        "What each modality brings", heads, tuple(rows), "Percent, on the same items."
    )


def _health(metrics: Mapping) -> published.Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for modality, found in benchmark["health"].items():
            gap = f"{found['gap_to_text']:.2f}" if "gap_to_text" in found else published.NOTHING
            cells = (f"{found['effective_rank']:.1f}", f"{found['uniformity']:.2f}", gap)
            rows.append((name, modality, *cells))
    heads = ("benchmark", "modality", "effective rank", "uniformity", "gap to text")
    note = (
        "Effective rank: directions in use. Uniformity: 0 where all are equal, -4 where they fill "
        "the sphere. Gap: distance of the means, 0 to 2."
    )
    return published.Table("Health of the embeddings", heads, tuple(rows), note)


def _problems(metrics: Mapping) -> published.Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for kind in splits.KINDS:
            of_kind = [one for one in benchmark["problems"] if one["kind"] == kind]
            for one in of_kind[:PROBLEMS_SHOWN]:
                rows.append((name, kind, one["modality"] or "", one["name"], one["reason"]))
            more = len(of_kind) - PROBLEMS_SHOWN
            if more > 0:
                rows.append((name, kind, "", f"… and {more:,} more", "see metrics.json"))
    heads = ("benchmark", "kind", "modality", "item or file", "what was found")
    return published.Table("Problems of the data", heads, tuple(rows))


def _left_out(metrics: Mapping) -> published.Table:
    rows = [(name, "all", reason) for name, reason in metrics["left_out"].items()]
    for name, benchmark in metrics["benchmarks"].items():
        rows += [(name, task, reason) for task, reason in benchmark["left_out"].items()]
    return published.Table("Not run", ("benchmark", "task", "reason"), tuple(rows))

"""The metrics as rows, for the terminal and for the report's headline numbers."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import rich.box
import rich.console
import rich.markup
import rich.table

from lb_jax.core import errors
from lb_jax.evaluation import calibrations
from lb_jax.evaluation.benchmarks import published, splits
from lb_jax.evaluation.reports import details

RECALL = ("R@1", "R@5", "R@10")
LOG_WIDTH = 160  # of a log file, in characters
OPERATORS = {">=": lambda value, bound: value >= bound, "<=": lambda value, bound: value <= bound}


@dataclasses.dataclass(frozen=True)
class Headline:
    """One number that sums up a part of the evaluation.

    Attributes:
      name: key of `targets`: a zero-shot task, "text->video", a pair such as "imu->video", or
        "best emergent pair".
      value: a fraction for zero-shot tasks, otherwise R@1 as a multiple of chance.
      detail: what the number is of, in words.
      is_multiple: whether `value` is a multiple of chance.
      chance: what guessing gives, in the unit of `value`; None where nothing is guessed.
      target: `(">=" or "<=", bound)` in the unit of `value`, or None.
    """

    name: str
    value: float
    detail: str
    is_multiple: bool
    chance: float | None
    target: tuple[str, float] | None

    @property
    def shown(self) -> str:
        """The value as text, see `format`."""
        return self.format(self.value)

    @property
    def passes(self) -> bool | None:
        """Whether the target is met; None without one."""
        return (
            None if self.target is None else OPERATORS[self.target[0]](self.value, self.target[1])
        )

    def format(self, value: float) -> str:
        """A number in the unit of this one as text: a multiple of chance, or a percentage."""
        return f"{value:.1f}×" if self.is_multiple else percent(value)


def percent(value: float) -> str:
    """Writes a fraction as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def headlines(
    metrics: Mapping, targets: Mapping[str, tuple[str, float]] | None = None
) -> list[Headline]:
    """Picks the numbers that sum up `Result.metrics`.

    Each zero-shot task, text to each modality, the pairs that have a target, the best pair.

    Args:
      metrics: as in `evaluate.Result`.
      targets: headline name -> `(">=" or "<=", bound)` in the unit of the headline's value.

    Raises:
      ConfigError: a target names no headline of this evaluation.
    """
    targets = targets or {}
    lines = [
        Headline(
            task,
            row["top1"],
            f"zero-shot top-1 of {row['n']}",
            False,
            row["chance"],
            targets.get(task),
        )
        for task, row in metrics["zero_shot"].items()
    ]
    for name, row in metrics["retrieval"].items():
        recall = row["text_to_x"]["R@1"]
        detail = f"chance; R@1 {percent(recall)} of {row['n']}"
        lines.append(
            Headline(
                f"text->{name}",
                recall / row["chance_R@1"],
                detail,
                True,
                1.0,
                targets.get(f"text->{name}"),
            )
        )
    for pair in targets:
        if row := metrics["emergent"].get(pair):
            detail = f"chance; R@1 {percent(row['R@1'])} of {row['n']}"
            lines.append(Headline(pair, row["times_chance"], detail, True, 1.0, targets[pair]))
    if metrics["emergent"]:
        pair, row = max(metrics["emergent"].items(), key=lambda item: item[1]["times_chance"])
        detail = f"chance; {pair}, R@1 {percent(row['R@1'])}"
        name = "best emergent pair"
        lines.append(Headline(name, row["times_chance"], detail, True, 1.0, targets.get(name)))
    names = [line.name for line in lines]
    for name in targets:
        if name not in names:
            hint = errors.nearest(name, names)
            raise errors.ConfigError(
                f"target {name!r} names no result of this evaluation, which has "
                f"{', '.join(names)}.{hint}"
            )
    return lines


def tables(metrics: Mapping) -> list[rich.table.Table]:
    """Returns the tables of `Result.metrics`, each number beside its chance.

    They are the zero-shot, retrieval and emergent tables.
    """
    zero_shot = _table("Zero-shot classification", ("task", "top-1", "chance", "n"))
    for task, row in metrics["zero_shot"].items():
        zero_shot.add_row(task, percent(row["top1"]), percent(row["chance"]), str(row["n"]))

    retrieval = _table(
        "Retrieval", ("direction", *RECALL, "chance R@1", "median rank", "mean rank", "n")
    )
    for name, row in metrics["retrieval"].items():
        for direction, side in ((f"text->{name}", "text_to_x"), (f"{name}->text", "x_to_text")):
            _add_recall(
                retrieval,
                direction,
                row[side],
                row[side].get("chance_R@1", row["chance_R@1"]),
                row["n"],
            )

    emergent = _table(
        "Emergent (never trained together)",
        ("pair", *RECALL, "chance R@1", "median rank", "mean rank", "n"),
    )
    for pair, row in metrics["emergent"].items():
        _add_recall(emergent, pair, row, row["chance_R@1"], row["n"])
    return [table for table in (zero_shot, retrieval, emergent) if table.row_count]


def calibration_table(found: Mapping[str, calibrations.Pair]) -> rich.table.Table:
    """Returns the curves of every pair of modalities, with what they are worth."""
    curves = _table(
        "Calibration (error and accuracy on held-out items)",
        ("pair", "threshold", "scale", "calibration error", "accuracy", "chance", "items", "held"),
    )
    for name, pair in found.items():
        curves.add_row(
            name,
            f"{pair.curve.threshold():.3f}",
            f"{pair.curve.scale:.1f}",
            percent(pair.calibration_error),
            percent(pair.accuracy),
            percent(0.5),
            str(pair.items),
            str(pair.held_out_items),
        )
    return curves


def print_tables(metrics: Mapping, console: rich.console.Console | None = None) -> None:
    """Prints `tables`: drawn on a terminal, aligned plain text anywhere else."""
    show(tables(metrics), console)


def print_problems(problems: Sequence[splits.Problem]) -> None:
    """Prints what took no part: how much it is, and the first of it by name."""
    if not problems:
        return
    counts = collections.Counter(one.kind for one in problems)
    print(f"left out: {', '.join(f'{count} {kind}' for kind, count in counts.items())}")
    for one in problems[: details.PROBLEMS_SHOWN]:
        print(f"  {one.kind}: {one.modality + ' ' if one.modality else ''}{one.name}: {one.reason}")
    if len(problems) > details.PROBLEMS_SHOWN:
        print(f"  and {len(problems) - details.PROBLEMS_SHOWN} more")
    print()


def print_suite(*measured: Mapping, console: rich.console.Console | None = None) -> None:
    """Prints suites: the details of each model, then the published tables with all of them.

    Args:
      *measured: `results.to_json` of each, with its "family".
      console: to print on.
    """
    each = zip(published.names(*measured), measured, strict=True)
    found = [one for name, metrics in each for one in _details(metrics, name, len(measured))]
    show([_drawn(one) for one in (*found, *published.tables(*measured))], console)


def _details(metrics: Mapping, name: str, models: int) -> list[published.Table]:
    """The details of a model, which is named where there are several."""
    found = details.details(metrics)
    if models == 1:
        return found
    return [dataclasses.replace(one, title=f"{name}: {one.title}") for one in found]


def print_comparison(*found: published.Table, console: rich.console.Console | None = None) -> None:
    """Prints results side by side, of `compare.compare`."""
    show([_drawn(one) for one in found], console)


def _drawn(table: published.Table) -> rich.table.Table:
    drawn = _table(table.title, table.columns, words=not table.ours)
    drawn.caption, drawn.caption_justify = rich.markup.escape(table.note), "left"
    for row in table.rows:
        drawn.add_row(*map(rich.markup.escape, row))
    return drawn


def show(drawn: Sequence[rich.table.Table], console: rich.console.Console | None = None) -> None:
    """Prints tables: drawn on a terminal, aligned plain text anywhere else."""
    console = console or rich.console.Console()
    if not console.is_terminal:  # a log file has no width to fit, and rows that wrap do not line up
        console = rich.console.Console(file=console.file, width=LOG_WIDTH, color_system=None)
    for table in drawn:
        table.box = table.box if console.is_terminal else None
        console.print(table)
        console.print()


def _table(title: str, columns: Sequence[str], *, words: bool = False) -> rich.table.Table:
    """A table without rows; of words rather than of numbers, its cells are on the left and wrap."""
    table = rich.table.Table(
        title=title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD
    )
    table.add_column(columns[0], no_wrap=True)
    for name in columns[1:]:
        table.add_column(name, justify="left" if words else "right", no_wrap=not words)
    return table


def _add_recall(table: rich.table.Table, name: str, row: Mapping, chance: float, n: int) -> None:
    recall = (percent(row[key]) for key in RECALL)
    table.add_row(
        name, *recall, percent(chance), f"{row['median_rank']:g}", f"{row['mean_rank']:.1f}", str(n)
    )

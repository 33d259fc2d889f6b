"""`lb-jax evaluate --model=M --data=CORPUS [--out=DIR]`."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import checkpoint, logging


def main(argv: Sequence[str]) -> None:
    """Scores a model on the held-out part of a labelled corpus.

    Prints the table and writes `metrics.json` and `report.html`.
    """
    parser = Parser(
        "evaluate",
        "Zero-shot, retrieval and emergent scores of a model on the held-out items "
        "of a labelled corpus.",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="checkpoint, work directory of a finished run, or published weights",
    )
    parser.add_argument(
        "--data", required=True, help="corpus folder, as `lb-jax demo corpus` writes it"
    )
    parser.add_argument(
        "--split", default="test", choices=("test", "train"), help="which items (default: test)"
    )
    parser.add_argument("--out", type=Path, help="folder for metrics.json and report.html")
    arguments = parser.parse_args(argv)
    run(arguments.model, arguments.data, split=arguments.split, out=arguments.out)


def run(
    model: str | Path,
    data: str | Path,
    *,
    split: str = "test",
    out: Path | None = None,
    curves=None,
    facts=None,
    targets=None,
) -> tuple:
    """Evaluates, prints the tables and returns (`api.Model`, `evaluate.Result`).

    Args:
      out: folder for `metrics.json` and `report.html`; None writes nothing.
      curves: metric rows of training runs by name, for the report.
      facts: lines of the report's head; the model and the corpus are added.
      targets: bounds the report shows the headline numbers against, see `report.write_report`.
    """
    from lb_jax.evaluation import evaluate, report, table
    from lb_jax.inference import api

    loaded = api.load(model)
    if out:
        make_folder(out, "--out")
    with bars() as progress:
        result = evaluate.evaluate(loaded, data, split=split, progress=progress)
    table.print_tables(result.metrics)
    if out:
        checkpoint.write_json(out / "metrics.json", result.metrics)
        facts = {**(facts or {}), "model": str(model), "corpus": str(data)}
        report.write_report(
            out / "report.html",
            result,
            curves=curves or {},
            title="lb_jax evaluation",
            facts=facts,
            targets=targets,
        )
    return loaded, result


@contextlib.contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A progress function that shows one bar for each thing that is embedded."""
    shown: list[logging.Progress] = []
    with contextlib.ExitStack() as bar:

        def progress(what: str, done: int, total: int) -> None:
            if done == 0:  # the next thing to embed: its bar takes the place of the last
                bar.close()
                shown.append(bar.enter_context(logging.Progress(f"embed {what}", total)))
            else:
                shown[-1].advance(done - shown[-1].done)

        yield progress

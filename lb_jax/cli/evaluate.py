"""`lb-jax evaluate`: a corpus, the published benchmarks, captions, or two results side by side."""

import contextlib
import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lb_jax.cli import corpus_arguments
from lb_jax.cli.arguments import (
    Parser,
    add_settings,
    add_space,
    given_settings,
    given_space,
    make_folder,
)
from lb_jax.core import checkpoint, errors, folders, logging

PAPER, LINEAR = "paper", "linear"
SUITES = (PAPER, LINEAR)


def main(argv: Sequence[str]) -> None:
    """Scores a model, prints tables, writes `metrics.json` and `report.html`."""
    from lb_jax.evaluation.benchmarks import probes
    from lb_jax.evaluation.benchmarks import table as benchmarks

    parser = Parser(
        "evaluate",
        "Zero-shot, retrieval, joint and emergent scores of a model: on a corpus or own data "
        "(--data), or on the published benchmarks whose data are there (--suite), the published "
        "figures beside ours. Captions in a file against references (--captions). Or two results "
        "side by side (--compare).",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", metavar="CORPUS", help=DATA_HELP)
    what.add_argument(
        "--suite",
        choices=SUITES,
        help="as far as --root has the data: the tables of the paper, or linear classifiers on "
        "frozen features",
    )
    what.add_argument(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A", "B"),
        help="two results of --out, with the interval of each difference",
    )
    what.add_argument(
        "--captions",
        type=Path,
        metavar="FILE",
        help="a caption of each item (JSON, JSONL, CSV or Parquet of id or path, and caption), to "
        "be scored against --references",
    )
    parser.add_argument(
        "--references", type=Path, metavar="FILE", help="for --captions: those of people, as there"
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="[MODALITY=]M",
        help="checkpoint, work directory of a finished run, or published weights; published "
        "weights of several modalities as --model=video=M --model=audio=M …",
    )
    parser.add_argument("--out", type=Path, help="folder for metrics.json and report.html")
    parser.add_argument(
        "--split", choices=("test", "train"), help="which items of a corpus folder (default: test)"
    )
    corpus_arguments.add_own(
        parser,
        "for --suite: the folder that holds one folder for each data set, see docs/evaluation.md; ",
    )
    parser.add_argument(
        "--only",
        type=_names,
        metavar="NAME,...",
        help=f"for --suite: some of {', '.join(benchmarks.BENCHMARKS)}; of linear "
        f"{', '.join(probes.PROBES)}",
    )
    parser.add_argument(
        "--svm-c",
        type=float,
        metavar="C",
        help="for --suite linear: weight of the errors, instead of that of each data set",
    )
    parser.add_argument(
        "--tasks",
        type=_names,
        metavar="TASK,...",
        help="for --data: retrieval tasks to run instead, such as "
        "text->video,audio+video->text,image+text->audio",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="for --suite and --tasks: where embeddings are kept between calls (default: "
        "lb_jax/embeddings in the user's cache folder)",
    )
    parser.add_argument(
        "--preset",
        choices=("default", "reference"),
        help="preprocessing of published weights; reference is the original's (default: default)",
    )
    for name, choices in benchmarks.CHOICES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            choices=choices,
            help=f"{HELP[name]} (default: {choices[0]})",
        )
    parser.add_argument(
        "--scorers",
        type=_names,
        metavar="NAME,...",
        help="for --suite and --captions: scorers that are Java programs, METEOR and SPICE",
    )
    add_space(parser)
    add_settings(parser)
    given = parser.parse_args(argv)
    mode = next(one for one in MODES if getattr(given, one))
    mode = mode if given.suite != LINEAR else LINEAR
    spelt = SPELT.get(mode, f"--{mode}")
    for name, modes in USED_BY.items():
        flag = f"--{name.replace('_', '-')}"
        if getattr(given, name) is not None and mode not in modes:
            raise errors.ConfigError(f"{flag} is not used with {spelt}; leave it out.")
        if getattr(given, name) is None and mode in NEEDED.get(name, ()):
            raise errors.ConfigError(f"{spelt} needs {flag}; give it.")
    if given.compare:
        compare(*given.compare)
        return
    if given.captions:
        score_captions(given.captions, given.references, given.scorers or (), given.out)
        return
    chosen = {name: getattr(given, name) for name in benchmarks.CHOICES}
    chosen["scorers"] = None if given.scorers is None else tuple(given.scorers)
    settings = benchmarks.Settings(**{name: one for name, one in chosen.items() if one is not None})
    source, rate = model_source(given.model), corpus_arguments.rate(given)
    read = functools.partial(corpus_arguments.read_labelled, given)
    loading = {"preset": given.preset, **given_space(given), **given_settings(given)}
    if mode == LINEAR:
        measure = functools.partial(
            _linear,
            root=given.root,
            rows=probes.choose(given.only),
            settings=probes.Settings(given.svm_c),
        )
        run_suite(source, measure, out=given.out, cache=given.cache, loading=loading, linear=True)
    elif given.suite or given.tasks:
        if given.suite:
            rows = benchmarks.choose(given.only)
            measure = functools.partial(_suite, root=given.root, rows=rows, settings=settings)
        else:
            tasks = tuple(map(benchmarks.parse, given.tasks))
            measure = functools.partial(_tasks, read=read, tasks=tasks, settings=settings)
        run_suite(source, measure, out=given.out, cache=given.cache, loading=loading)
    else:
        run(
            source,
            given.data,
            read=read,
            out=given.out,
            scoring=settings.scoring,
            loading=loading,
            **rate,
        )


DATA_HELP = (
    "corpus folder, as `lb-jax demo corpus` writes it; or own data: a CSV, JSONL or Parquet file, "
    "or whatever else can be trained on, see docs/data.md"
)
HELP = {
    "scoring": "cosine, or the original's dot product of embeddings that are not normalised",
    "fusion": "how several modalities add up: averaged cosines, averaged logits, or a sum of "
    "embeddings",
    "k400_norm": "pixel statistics of the views of K400 and K600",
    "thermal_templates": "prompts of thermal benchmarks: of a photo, as published, or of a thermal "
    "infrared photo",
    "dual_softmax": "of captions: a score counts for more where text and item prefer each other",
}
MODES = ("compare", "captions", "suite", "tasks", "data")
SPELT = {LINEAR: f"--suite {LINEAR}"}  # a mode that is no argument
# argument -> what uses it
USED_BY = {
    "data": ("data", "tasks"),
    "model": ("data", "tasks", "suite", LINEAR),
    "root": ("data", "tasks", "suite", LINEAR),
    "columns": ("data", "tasks"),
    "modality": ("data", "tasks"),
    "max_bad_rate": ("data",),
    "only": ("suite", LINEAR),
    "svm_c": (LINEAR,),
    "tasks": ("tasks",),
    "split": ("data", "tasks"),
    "cache": ("suite", "tasks", LINEAR),
    "out": ("data", "tasks", "suite", "captions", LINEAR),
    "references": ("captions",),
    "preset": ("data", "tasks", "suite", LINEAR),
    "space": ("data", "tasks", "suite", LINEAR),
    "depth_unit": ("data", "tasks", "suite"),
    "thermal_range": ("data", "tasks", "suite"),
    "thermal_unit": ("data", "tasks", "suite"),
    "depth_camera": ("data", "tasks", "suite"),
    "imu_units": ("data", "tasks", "suite"),
    "imu_rate": ("data", "tasks", "suite"),
    "imu_columns": ("data", "tasks", "suite"),
    "imu_interpolate": ("data", "tasks", "suite"),
    "imu_short": ("data", "tasks", "suite"),
    "scoring": ("data", "tasks", "suite"),
    "fusion": ("tasks", "suite"),
    "k400_norm": ("suite",),
    "thermal_templates": ("suite",),
    "dual_softmax": ("suite",),
    "scorers": ("suite", "captions"),
}
# argument -> what cannot do without it
NEEDED = {
    "data": ("data", "tasks"),
    "model": ("data", "tasks", "suite", LINEAR),
    "root": ("suite", LINEAR),
    "references": ("captions",),
}


def _names(text: str) -> list[str]:
    """Reads "a, b,c"."""
    return [name.strip() for name in text.split(",") if name.strip()]


def model_source(given: Sequence[str]) -> str | dict[str, str]:
    """What `--model` names: one source, or modality -> source.

    Raises:
      ConfigError: for several without a modality, or a modality twice.
    """
    from lb_jax.core.modalities import MODALITIES

    pairs = [one.partition("=") for one in given]
    named = [name in MODALITIES and bool(sign) for name, sign, _ in pairs]
    if len(given) == 1 and not named[0]:
        return given[0]
    found = {name: path for name, _, path in pairs}
    if not all(named) or len(found) < len(given):
        raise errors.ConfigError(
            f"--model is given {len(given)} times ({', '.join(given)}); expected it once, or each "
            f"time as MODALITY=M with another of {', '.join(MODALITIES)}."
        )
    return found


def compare(a: Path, b: Path) -> None:
    """Prints two results side by side."""
    from lb_jax.evaluation.reports import compare, terminal

    terminal.print_comparison(compare.compare(a, b))


def score_captions(
    candidates: Path, references: Path, scorers: Sequence[str] = (), out: Path | None = None
) -> dict:
    """Scores captions in a file, prints the figures and returns them.

    Args:
      candidates: file of a caption of each item, see `evaluation.caption_files`.
      references: file of those of people.
      scorers: Java programs to be asked too.
      out: folder for `metrics.json` and `report.html`; None writes nothing.
    """
    from lb_jax.evaluation import caption_files
    from lb_jax.evaluation.reports import details, terminal, written

    found, lines = caption_files.score(candidates, references, scorers)
    terminal.print_comparison(details.captions(found))
    if out:
        make_folder(out, "--out")
        checkpoint.write_json(out / "metrics.json", found)
        written.write(out / "report.html", str(candidates), lines, found)
    return found


def _suite(embeds, writer, progress, *, root: Path, rows: Mapping, settings):
    from lb_jax.evaluation.benchmarks import suite

    if lacking := suite.without_vectors(rows, embeds, writer):
        print(f"not of this model, which writes and gives no vectors: {', '.join(lacking)}")
    return suite.run(embeds, root, rows, settings, print, writer, progress)


def _linear(features, writer, progress, *, root: Path, rows: Mapping, settings):
    from lb_jax.evaluation.benchmarks import linear

    del progress  # the features tell theirs
    if writer is not None:
        raise errors.ConfigError(
            f"{writer.source}: a VALOR model; --suite {LINEAR} takes the towers of an encoder, "
            "such as LanguageBind."
        )
    return linear.run(features, root, rows, settings, print)


def _tasks(embeds, writer, progress, *, read: Callable, tasks: Sequence, settings):
    """The tasks on a corpus, as a suite of one benchmark."""
    from lb_jax.evaluation.benchmarks import suite
    from lb_jax.evaluation.benchmarks import table as benchmarks

    corpus = read((embeds or writer).modalities)
    corpus_arguments.warn_of_training(corpus, (embeds or writer).folder, corpus.root)
    names = tuple(dict.fromkeys(name for task in tasks for name in task.media))
    row = benchmarks.Benchmark(str(corpus.root), tasks, by_caption=corpus.by_caption)
    split = corpus.as_split(names)
    found = suite.score(embeds, "corpus", row, split, settings, writer=writer, progress=progress)
    if not found.tasks:
        raise errors.DataError(corpus.root, suite.nothing_run(found))
    return suite.SuiteResult({"corpus": found}, {}, settings)


def run_suite(
    model: str | Path | Mapping[str, str],
    measure: Callable,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    loading: Mapping = types.MappingProxyType({}),
    linear: bool = False,
) -> dict:
    """Runs benchmarks, prints their tables and returns the metrics.

    Args:
      measure: the model as `Embedder`, as `Writer` (one of them is None) and a progress function
        -> `SuiteResult`.
      out: folder for `metrics.json`, `outcomes.json`, `report.html` and, where the model wrote,
        `written.json`; None writes nothing.
      cache: where embeddings are kept; None takes the user's cache folder.
      loading: other arguments of `lb_jax.load`.
      linear: whether `measure` takes the model's features (`inference.features`) in place of its
        embeddings.
    """
    from lb_jax.evaluation.benchmarks import results
    from lb_jax.evaluation.reports import suite as suite_report
    from lb_jax.evaluation.reports import terminal
    from lb_jax.inference import embedder, features, opening, valor

    if out:
        make_folder(out, "--out")
    cache = cache or folders.user_cache("embeddings")
    make_folder(cache, "--cache")
    loaded = opening.load(model, **loading)
    with bars() as progress:
        if isinstance(loaded, valor.ValorModel):
            found = measure(None, loaded, progress)
        else:
            kind = features.Features if linear else embedder.Embedder
            found = measure(kind(loaded, cache, progress=progress), None, progress)
    metrics = {"model": str(model), "digest": loaded.digest} | results.to_json(found)
    terminal.print_suite(metrics)
    if out:
        checkpoint.write_json(out / "metrics.json", metrics)
        checkpoint.write_json(out / "outcomes.json", results.outcomes(found))
        if texts := results.written(found):
            checkpoint.write_json(out / "written.json", texts)
        unit = loading.get("depth_unit")
        shown = found if unit is None else suite_report.in_unit(found, str(unit))
        suite_report.write(out / "report.html", shown, metrics)
    return metrics


def run(
    model: str | Path | Mapping[str, str],
    data: str | Path,
    *,
    read: Callable | None = None,
    out: Path | None = None,
    scoring: str = "cosine",
    loading: Mapping = types.MappingProxyType({}),
    curves=None,
    facts=None,
    targets=None,
    **options,
) -> tuple:
    """Evaluates on a corpus, prints and returns (`api.Model`, `evaluate.Result`).

    Args:
      data: what is evaluated on; without `read` the folder of a labelled corpus, of which the test
        items are taken.
      read: modalities of the model -> the `labelled.Labelled` that `data` names.
      out: folder for `metrics.json` and `report.html`; None writes nothing.
      loading: other arguments of `lb_jax.load`.
      curves: metric rows of training runs by name, for the report.
      facts: lines of the report's head; the model and the corpus are added.
      targets: bounds the report shows the headline numbers against, see
        `reports.corpus.write_report`.
      options: others of `evaluate.evaluate`.
    """
    from lb_jax.evaluation import evaluate
    from lb_jax.evaluation.reports import corpus as report
    from lb_jax.evaluation.reports import terminal
    from lb_jax.inference import opening, valor

    loaded = opening.load(model, **loading)
    if isinstance(loaded, valor.ValorModel):
        raise errors.ConfigError(
            f"{model}: a VALOR model, which gives no vectors of classes; give --tasks beside "
            "--data, such as text->audio+video, or --suite."
        )
    if out:
        make_folder(out, "--out")
    corpus = data
    if read:
        corpus = read(loaded.modalities)
        corpus_arguments.warn_of_training(corpus, loaded.folder, data)
    with bars() as progress:
        result = evaluate.evaluate(loaded, corpus, scoring=scoring, progress=progress, **options)
    terminal.print_tables(result.metrics)
    terminal.print_problems(result.problems)
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
    """A progress function that shows one bar for each thing that is embedded, or each task."""
    shown: list[logging.Progress] = []
    with contextlib.ExitStack() as bar:

        def progress(what: str, done: int, total: int) -> None:
            if not shown or shown[-1].done >= shown[-1].total:
                bar.close()  # the next thing to embed: its bar takes the place of the last
                new = logging.Progress(what if "->" in what else f"embed {what}", total, done=done)
                shown.append(bar.enter_context(new))
            else:
                shown[-1].advance(done - shown[-1].done)

        yield progress

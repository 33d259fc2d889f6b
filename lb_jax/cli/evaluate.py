"""`lb-jax evaluate`: a corpus, the published benchmarks, captions, or two results side by side."""

import functools
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lb_jax.cli import bars, corpus_arguments, suites
from lb_jax.cli.arguments import (
    Parser,
    add_settings,
    add_space,
    given_settings,
    given_space,
    make_folder,
)
from lb_jax.core import checkpoint, errors

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
        help="two results of --out: the published tables with both, and the interval of each "
        "difference",
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
        "weights of several modalities as --model=video=M --model=audio=M …, which are one model. "
        "For --suite and --tasks several models, which are shown side by side",
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
        first, second = given.compare
        compare(first, second, given.out)
        return
    if given.captions:
        score_captions(given.captions, given.references, given.scorers or (), given.out)
        return
    chosen = {name: getattr(given, name) for name in benchmarks.CHOICES}
    chosen["scorers"] = None if given.scorers is None else tuple(given.scorers)
    settings = benchmarks.Settings(**{name: one for name, one in chosen.items() if one is not None})
    sources, rate = model_sources(given.model), corpus_arguments.rate(given)
    read = functools.partial(corpus_arguments.read_labelled, given)
    loading = {"preset": given.preset, **given_space(given), **given_settings(given)}
    beside = {"out": given.out, "cache": given.cache, "loading": loading}
    if mode == LINEAR:
        rows = probes.choose(given.only)
        learnt = probes.Settings(given.svm_c)
        measure = functools.partial(suites.of_features, root=given.root, rows=rows, settings=learnt)
        suites.run(sources, measure, **beside, linear=True)
    elif given.suite:
        rows = benchmarks.choose(given.only)
        measure = functools.partial(
            suites.of_benchmarks, root=given.root, rows=rows, settings=settings
        )
        suites.run(sources, measure, **beside)
    elif given.tasks:
        tasks = tuple(map(benchmarks.parse, given.tasks))
        measure = functools.partial(suites.of_tasks, read=read, tasks=tasks, settings=settings)
        suites.run(sources, measure, **beside)
    else:
        if len(sources) > 1:
            raise errors.ConfigError(
                f"--data takes one model, got {len(sources)} ({', '.join(map(str, sources))}); "
                "give --tasks beside it, or evaluate each with --out and hold them together with "
                "--compare."
            )
        run(
            sources[0],
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
    "out": ("data", "tasks", "suite", "captions", "compare", LINEAR),
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


def model_sources(given: Sequence[str]) -> list[str | dict[str, str]]:
    """What `--model` names: models, each of one source or of modality -> source.

    All that name their modality are one model, in the place of the first.

    Raises:
      ConfigError: for a modality twice, and a source twice.
    """
    from lb_jax.core.modalities import MODALITIES

    found: dict[str, str | dict[str, str]] = {}
    parts: dict[str, str] = {}
    for one in given:
        name, sign, path = one.partition("=")
        is_part = name in MODALITIES and bool(sign)
        if (name in parts) if is_part else (one in found):
            raise errors.ConfigError(
                f"--model is given {name if is_part else one} twice ({', '.join(given)}); expected "
                f"each model once, or MODALITY=M with another of {', '.join(MODALITIES)}."
            )
        if is_part:
            parts[name] = path
            found[""] = parts
        else:
            found[one] = one
    return list(found.values())


def compare(a: Path, b: Path, out: Path | None = None) -> None:
    """Prints two results side by side.

    Args:
      a, b: of `--out`.
      out: folder for `report.html`; None writes nothing.
    """
    from lb_jax.evaluation.benchmarks import published
    from lb_jax.evaluation.reports import compare, terminal
    from lb_jax.evaluation.reports import suite as suite_report

    found = compare.compare(a, b)
    measured = [compare.read(one).metrics for one in (a, b)]
    are_suites = all("benchmarks" in one for one in measured)
    terminal.print_comparison(*(published.tables(*measured) if are_suites else ()), found)
    if out and not are_suites:
        raise errors.ConfigError(
            "--out writes a report of two suites, and these are results of --data; leave it out."
        )
    if out:
        make_folder(out, "--out")
        suite_report.write_beside(out / "report.html", measured, [found])


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
    with bars.shown() as progress:
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

"""What `lb-jax evaluate` runs on benchmarks and own tasks: one model, or several side by side."""

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.cli import bars, corpus_arguments
from lb_jax.cli.arguments import make_folder
from lb_jax.core import checkpoint, errors, folders

Source = str | Path | Mapping[str, str]  # what `lb_jax.load` opens


def run(
    sources: Sequence[Source],
    measure: Callable,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    loading: Mapping[str, Any] = types.MappingProxyType({}),
    linear: bool = False,
) -> list[dict]:
    """Runs benchmarks, prints their tables and returns the metrics of each model.

    Args:
      sources: of the models. All are opened first, and then measured one after the other.
      measure: the model as `Embedder`, as `Writer` (one of them is None) and a progress function
        -> `SuiteResult`.
      out: folder for `metrics.json`, `outcomes.json`, `report.html` and, where the model wrote,
        `written.json`; None writes nothing. Of several models each has a folder A, B, … in it, and
        `report.html` has all of them.
      cache: where embeddings are kept; None takes the user's cache folder.
      loading: other arguments of `lb_jax.load`; of several models each takes those settings of
        files that are for it.
      linear: whether `measure` takes the model's features (`inference.features`) in place of its
        embeddings.
    """
    from lb_jax.evaluation.benchmarks import published
    from lb_jax.evaluation.reports import compare, terminal
    from lb_jax.evaluation.reports import suite as suite_report

    if out:
        make_folder(out, "--out")
    cache = cache or folders.user_cache("embeddings")
    make_folder(cache, "--cache")
    models = _open(sources, loading)
    sides = []
    for source in sources:
        alone = len(sources) == 1
        letter = published.letter(len(sides))
        if not alone:
            print(f"{letter}: {source}")
        folder = out if out is None or alone else out / letter
        model = models.pop(0)  # what it holds goes when the next one is asked
        sides.append(_run(source, model, measure, folder, cache, loading.get("depth_unit"), linear))
    compared = compare.differences(sides)
    measured = [dict(side.metrics) for side in sides]
    terminal.print_suite(*measured)
    if compared:
        terminal.print_comparison(*compared)
    if out and len(sides) > 1:
        suite_report.write_beside(out / "report.html", measured, compared)
    return measured


def _open(sources: Sequence[Source], loading: Mapping[str, Any]) -> list[Any]:
    """The models; of several each with the settings of files that are for it.

    Raises:
      ConfigError: for a setting that is for none of them.
    """
    from lb_jax.inference import encoder, opening
    from lb_jax.media.settings import CHANGES, Settings, option_of

    if len(sources) == 1:
        return [opening.load(sources[0], **loading)]
    given = Settings(**{name: value for name, value in loading.items() if name in CHANGES})
    others = {name: value for name, value in loading.items() if name not in CHANGES}
    models, used = [], set()
    for source in sources:
        model = opening.load(source, **others)
        if isinstance(model, encoder.Encoder) and (fitting := given.fitting(model.specs)):
            model = opening.load(source, **others, **fitting.given)
            used |= fitting.given.keys()
        models.append(model)
    if idle := [name for name in given.given if name not in used]:
        raise errors.ConfigError(f"{option_of(idle[0])} is for none of these models; leave it out.")
    return models


def _run(
    source: Source,
    model: Any,
    measure: Callable,
    out: Path | None,
    cache: Path,
    depth_unit: str | float | None,
    linear: bool,
):
    """The result of one model, a `compare.Side`, which is written where `out` is given."""
    from lb_jax.evaluation.benchmarks import results
    from lb_jax.evaluation.reports import compare
    from lb_jax.evaluation.reports import suite as suite_report
    from lb_jax.inference import embedder, features, valor

    writes = isinstance(model, valor.ValorModel)
    with bars.shown() as progress:
        if writes:
            found = measure(None, model, progress)
        else:
            kind = features.Features if linear else embedder.Embedder
            found = measure(kind(model, cache, progress=progress), None, progress)
    family = "VALOR" if writes else model.family
    metrics = {"model": str(source), "digest": model.digest, "family": family}
    metrics |= results.to_json(found)
    outcomes = results.outcomes(found)
    if out:
        make_folder(out, "--out")
        checkpoint.write_json(out / "metrics.json", metrics)
        checkpoint.write_json(out / "outcomes.json", outcomes)
        if texts := results.written(found):
            checkpoint.write_json(out / "written.json", texts)
        shown = found if depth_unit is None else suite_report.in_unit(found, str(depth_unit))
        suite_report.write(out / "report.html", shown, metrics)
    return compare.Side(str(source), metrics, outcomes)


def of_benchmarks(embeds, writer, progress, *, root: Path, rows: Mapping, settings):
    """The published benchmarks of which there are data; a `measure` of `run`."""
    from lb_jax.evaluation.benchmarks import suite

    if lacking := suite.without_vectors(rows, embeds, writer):
        print(f"not of this model, which writes and gives no vectors: {', '.join(lacking)}")
    return suite.run(embeds, root, rows, settings, print, writer, progress)


def of_features(features, writer, progress, *, root: Path, rows: Mapping, settings):
    """Linear classifiers on features; a `measure` of `run`."""
    from lb_jax.evaluation.benchmarks import linear

    del progress  # the features tell theirs
    if writer is not None:
        raise errors.ConfigError(
            f"{writer.source}: a VALOR model; --suite linear takes the towers of an encoder, "
            "such as LanguageBind."
        )
    return linear.run(features, root, rows, settings, print)


def of_tasks(embeds, writer, progress, *, read: Callable, tasks: Sequence, settings):
    """Tasks on a corpus, as a suite of one benchmark; a `measure` of `run`."""
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

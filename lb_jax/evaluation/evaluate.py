"""Scores a model on one split of a labelled corpus, or on own data.

Each file and text is embedded once, the rest is arithmetic. A file that cannot be used is listed
and takes no part; too many stop the evaluation. An item whose caption the model cannot read takes
no part either, and a class that it cannot read is never chosen.
"""

import dataclasses
import functools
import itertools
import pathlib
import time
import typing
from collections.abc import Callable, Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.core import modalities as rows
from lb_jax.core.words import counted
from lb_jax.corpora.quarantine import BAD_RATE_FROM
from lb_jax.evaluation import familiar, labelled
from lb_jax.evaluation.benchmarks.splits import ANNOTATION, UNREADABLE, Problem
from lb_jax.evaluation.metrics import emergent, retrieval, zero_shot
from lb_jax.evaluation.metrics import scoring as rows_of

Progress = Callable[[str, int, int], None]
MAX_BAD_RATE = 0.05  # as of a training run
NOTHING = np.zeros((0, 0), np.float32)
SHUFFLED = " shuffled"  # behind a modality, in what is told of the progress
FRAMES = -4  # axis of the frames of clips, […, t, h, w, c]


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Counts int `[c, c]` of one zero-shot task, true class down, predicted class across."""

    classes: tuple[str, ...]
    counts: np.ndarray


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The items of a split and their captions as vectors.

    Attributes:
      corpus: the split.
      ids: modality -> the item of each embedding.
      embeddings: modality -> unit rows float32 `[n, e]`.
      captions: modality -> unit rows float32 `[n, e]`, each item's caption of the modality's text
        kind.
      problems: rows and files that cannot be used.
    """

    corpus: labelled.Labelled
    ids: dict[str, tuple[str, ...]]
    embeddings: dict[str, np.ndarray]
    captions: dict[str, np.ndarray]
    problems: tuple[Problem, ...] = dataclasses.field(default=(), kw_only=True)

    def texts(self, modality: str) -> list[str]:
        """The sentences of `captions`."""
        return captions_of(self.corpus, modality, self.ids[modality])


@dataclasses.dataclass(frozen=True)
class Result(Embedded):
    """What an evaluation found, and what the report shows it with.

    Attributes:
      metrics: plain dicts, floats and ints, ready for JSON. `{"zero_shot": {task: {"top1",
        "chance", "n", "per_class"}}, "retrieval": {modality: {"text_to_x", "x_to_text",
        "chance_R@1", "n", "distinct_captions"}}, "emergent": {"audio->image": {"R@1", …,
        "chance_R@1", "times_chance", "n"}}, "problems": [{"kind", "name", "reason", "modality"}],
        "seconds": {what: seconds}}`. All but "seconds" are the same in every run.
      confusion: zero-shot task -> its confusion matrix.
    """

    metrics: dict
    confusion: dict[str, Confusion]


def captions_of(corpus: labelled.Labelled, modality: str, ids: Sequence[str]) -> list[str]:
    """Each item's caption of the modality's text kind.

    Raises:
      DataError: an item has none.
    """
    return [corpus.said(id_, modality) for id_ in ids]


def embed(
    model,
    corpus: str | pathlib.Path | labelled.Labelled,
    *,
    split: str = "test",
    modalities: Sequence[str] | None = None,
    max_bad_rate: float = MAX_BAD_RATE,
    drawn: int | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Embeds a split and its captions, each file and text once; arguments as of `evaluate`.

    Args:
      drawn: so many of its items, by the hash of their ids; None for all.

    Raises:
      ConfigError: as `evaluate`.
      DataError: as `evaluate`.
    """
    corpus = _read(corpus, split)
    if drawn is not None:
        few = sorted(corpus.ids, key=familiar.digest_of)[:drawn]
        corpus = dataclasses.replace(corpus, ids=tuple(few))
    names = _choose(model, corpus, modalities)
    run = _Embedder(model, progress or _silent, {}, max_bad_rate=max_bad_rate)
    return _embed(corpus, names, (), run)[0]


def evaluate(
    model,
    corpus: str | pathlib.Path | labelled.Labelled,
    *,
    split: str = "test",
    modalities: Sequence[str] | None = None,
    scoring: str = "cosine",
    max_bad_rate: float = MAX_BAD_RATE,
    progress: Progress | None = None,
) -> Result:
    """Runs zero-shot classification, retrieval both ways and emergent retrieval.

    Tasks of a modality with frames are scored a second time with the frames of each clip in another
    order, as `<task>_shuffled`: what is read from motion must suffer. Clips of a single frame have
    no other order and get no such row.

    Args:
      model: has `modalities`, `at_once`, `embed(modality, paths or texts) -> [n, e]`,
        `preprocess(modality, paths or texts) -> array` and `encode(modality, array) -> [n, e]`,
        with `as_published` for "dot".
      corpus: the folder of a labelled corpus, see `labelled.read`; or what `own.read` made.
      split: which items of a folder.
      modalities: which modalities; None means all that both the model and the split have.
      scoring: "cosine" or "dot", see `lb_jax.evaluation.metrics.scoring`.
      max_bad_rate: share of a modality's files that may be left out as unusable, judged from
        `quarantine.BAD_RATE_FROM` files on.
      progress: called as `progress(what, done, total)`, what being a modality, "text" or "video
        shuffled".

    Raises:
      ConfigError: a modality that the model does not have.
      DataError: the corpus does not fit together, has no file of a modality, or more files of one
        than `max_bad_rate` allows cannot be used.
    """
    started = time.perf_counter()
    seconds = {}
    corpus = _measured(_read(corpus, split), model)
    names = _choose(model, corpus, modalities)
    tasks = [task for task in corpus.tasks if task.modality in names]
    run = _Embedder(model, progress or _silent, seconds, scoring, max_bad_rate)
    prompts = [text for task in tasks for wordings in task.prompts.values() for text in wordings]
    embedded, vector = _embed(corpus, names, prompts, run)
    ids, embeddings = embedded.ids, embedded.embeddings

    trials = [(task.name, task, embeddings[task.modality]) for task in tasks]
    for name in dict.fromkeys(
        task.modality for task in tasks if rows.MODALITIES[task.modality].has_frames
    ):
        files = [corpus.media(id_, name) for id_ in ids[name]]
        if model.preprocess(name, files[:1]).shape[FRAMES] > 1:
            encode = functools.partial(_encode_shuffled, model, name, scoring)
            shuffled = run(f"{name}{SHUFFLED}", list(enumerate(files)), encode)
            trials += [
                (f"{task.name}_shuffled", task, shuffled) for task in tasks if task.modality == name
            ]

    scores, confusion, unread = {}, {}, []
    for trial, task, task_embeddings in trials:
        spoken = {
            name: [vector[text] for text in wordings if text in vector]
            for name, wordings in task.prompts.items()
        }
        prompts = [np.stack(one) for one in spoken.values() if one]
        unread += [f"{task.name}: {name}" for name, one in spoken.items() if not one]
        if not prompts:
            continue
        items, weights = zero_shot.against(
            task_embeddings, zero_shot.class_weights(prompts), [*map(bool, spoken.values())]
        )
        given = [corpus.attributes[id_].get(task.attribute) for id_ in ids[task.modality]]
        known = [i for i, label in enumerate(given) if label is not None]
        labels, classes = [given[i] for i in known], tuple(task.prompts)
        scores[trial], counts = zero_shot.score(items[known], weights, labels, classes)
        confusion[trial] = Confusion(classes, counts)

    reason = "the model can read none of its prompts; the class is never chosen"
    problems = [Problem(ANNOTATION, name, reason, rows.TEXT) for name in dict.fromkeys(unread)]
    embedded = dataclasses.replace(embedded, problems=(*embedded.problems, *problems))
    return Result(
        metrics={
            "zero_shot": scores,
            "retrieval": {
                name: retrieval.score(
                    embedded.captions[name],
                    embeddings[name],
                    embedded.texts(name),
                    by_caption=corpus.by_caption,
                )
                for name in names
            },
            "emergent": emergent.score(embeddings, ids),
            "problems": [dataclasses.asdict(one) for one in embedded.problems],
            "seconds": seconds | {"total": time.perf_counter() - started},
        },
        confusion=confusion,
        **vars(embedded),
    )


def _embed(
    corpus: labelled.Labelled,
    names: Sequence[str],
    more: Sequence[str],
    run: "_Embedder",
) -> tuple[Embedded, dict[str, np.ndarray]]:
    """The items, and the vector of every caption and of `more` texts."""
    every = {name: captions_of(corpus, name, corpus.having(name)) for name in names}
    texts = list(dict.fromkeys([*(text for name in names for text in every[name]), *more]))
    vector, unread = run.texts(corpus, texts)
    ids, embeddings, spoken, problems = {}, {}, {}, list(corpus.problems)
    for name in names:
        ids[name], embeddings[name], unusable = run.files(corpus, name)
        problems += unusable
        said = captions_of(corpus, name, ids[name])
        is_read = np.array([caption in vector for caption in said])
        problems += [
            Problem(ANNOTATION, id_, f"its caption {unread[caption]}; left out", name)
            for id_, caption in zip(ids[name], said, strict=True)
            if caption in unread
        ]
        if not is_read.any():
            raise errors.DataError(
                corpus.root, f"the model can read the caption of no item with {name}"
            )
        ids[name], said = (tuple(itertools.compress(one, is_read)) for one in (ids[name], said))
        embeddings[name] = embeddings[name][is_read]
        spoken[name] = np.stack([vector[caption] for caption in said])
    return Embedded(corpus, ids, embeddings, spoken, problems=tuple(problems)), vector


def _read(corpus: str | pathlib.Path | labelled.Labelled, split: str) -> labelled.Labelled:
    return corpus if isinstance(corpus, labelled.Labelled) else labelled.read(corpus, split)


def _measured(corpus: labelled.Labelled, model) -> labelled.Labelled:
    """The corpus with the unit that the model was loaded with, which thumbnails need too."""
    settings = getattr(model, "settings", None)
    if settings is None or settings.depth_unit is None:
        return corpus
    units = dict.fromkeys(corpus.ids, str(settings.depth_unit)) | corpus.units
    return dataclasses.replace(corpus, units=units)


def _silent(what: str, done: int, total: int) -> None:
    """Reports no progress."""


def shuffle_frames(clip: np.ndarray, seed: int) -> np.ndarray:
    """Puts the frames of a clip `[…, t, h, w, c]`, t at least 2, into another order.

    Those of an item that is several views into the same one in all of them. The order depends on
    nothing but `seed` and t.
    """
    usual = np.arange(clip.shape[FRAMES])
    order = usual
    generator = np.random.default_rng(seed)
    while np.array_equal(order, usual):
        order = generator.permutation(len(usual))
    return clip.take(order, axis=FRAMES)


def _encode_shuffled(model, name: str, scoring: str, chunk: list[tuple[int, str]]) -> np.ndarray:
    clips = np.asarray(model.preprocess(name, [path for _, path in chunk]))  # [b, …, t, h, w, c]
    shuffled = [shuffle_frames(clip, index) for clip, (index, _) in zip(clips, chunk, strict=True)]
    return model.encode(name, np.stack(shuffled), **_OPTIONS[scoring](model))


# scoring -> how arrays are embedded for it, how a chunk of files or texts is
_OPTIONS = {"cosine": lambda model: {}, "dot": lambda model: model.as_published}
_EMBED = {
    "cosine": lambda model, name, chunk: model.embed(name, chunk),
    "dot": lambda model, name, chunk: model.encode(
        name, model.preprocess(name, chunk), **model.as_published
    ),
}


@dataclasses.dataclass(frozen=True)
class _Embedder:
    """Embeds a list chunk by chunk, reports progress and notes the seconds."""

    model: typing.Any
    report: Progress
    seconds: dict[str, float]
    scoring: str = "cosine"
    max_bad_rate: float = MAX_BAD_RATE

    def __call__(
        self, what: str, items: list, embed: Callable[[list], np.ndarray] | None = None
    ) -> np.ndarray:
        embed = embed or functools.partial(_EMBED[self.scoring], self.model, what)
        started = time.perf_counter()
        chunks = []
        self.report(what, 0, len(items))
        # also bounds the preprocessed clips held in memory
        size = self.model.at_once(what.removesuffix(SHUFFLED))
        for start in range(0, len(items), size):
            chunk = items[start : start + size]
            chunks.append(np.asarray(embed(chunk)))
            self.report(what, start + len(chunk), len(items))
        self.seconds[what] = time.perf_counter() - started
        chunks = [one for one in chunks if len(one)]
        return rows_of.SCORINGS[self.scoring](np.concatenate(chunks)) if chunks else NOTHING

    def texts(
        self, corpus: labelled.Labelled, texts: list[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """The row of each text that the model can read, and why it cannot read the others.

        Raises:
          DataError: there are texts, and it can read none.
        """
        unread: dict[str, str] = {}

        def refuse(text: str, error: errors.DataError) -> None:
            unread[text] = error.reason

        kept, found = self._usable(rows.TEXT, texts, lambda text: text, refuse)
        if texts and not kept:
            reason = next(iter(unread.values()))
            raise errors.DataError(corpus.root, f"the model can read no text: the first {reason}")
        return dict(zip(kept, found, strict=True)), unread

    def files(
        self, corpus: labelled.Labelled, name: str
    ) -> tuple[tuple[str, ...], np.ndarray, list[Problem]]:
        """Embeds the files of a modality: (items, rows, what cannot be used).

        Raises:
          DataError: nothing can be used, or more cannot than `max_bad_rate` allows.
        """
        problems: list[Problem] = []
        items = list(corpus.having(name))
        earlier = [one for one in corpus.problems if one.modality == name]
        total = len(items) + len(earlier)
        files = counted(total, f"{name} file")

        def refuse(id_: str, error: errors.DataError) -> None:
            del id_  # the error names the file
            problems.append(Problem(UNREADABLE, error.path, error.reason, name))
            bad = len(problems) + len(earlier)
            if total >= BAD_RATE_FROM and bad > self.max_bad_rate * total:
                raise self._too_many(corpus, name, problems, f"{bad} of {files}") from error

        kept, found = self._usable(name, items, lambda id_: corpus.media(id_, name), refuse)
        if not kept:
            raise self._too_many(corpus, name, problems, f"all {files}")
        return tuple(kept), found, problems

    def _usable(
        self,
        what: str,
        items: list[str],
        media: Callable[[str], typing.Any],
        refuse: Callable[[str, errors.DataError], None],
    ) -> tuple[list[str], np.ndarray]:
        """Embeds items: those that can be, and their rows; `refuse` is told of the others."""
        kept: list[str] = []

        def embed(chunk: list[str]) -> np.ndarray:
            try:
                given = [media(one) for one in chunk]
                found = np.asarray(_EMBED[self.scoring](self.model, what, given))
            except errors.DataError as error:
                if len(chunk) > 1:  # one after the other tells which
                    parts = [part for one in chunk if len(part := embed([one]))]
                    return np.concatenate(parts) if parts else NOTHING
                refuse(chunk[0], error)
                return NOTHING
            kept.extend(chunk)
            return found

        found = self(what, items, embed)
        return kept, found

    def _too_many(self, corpus, name: str, problems: Sequence[Problem], count: str):
        first = problems[0]
        return errors.DataError(
            corpus.root,
            f"{count} cannot be used, more than max_bad_rate={self.max_bad_rate}; the "
            f"first: {first.name}: {first.reason}. Mend them, or raise the rate",
        )


def _choose(model, corpus: labelled.Labelled, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The modalities to score, in the order of the table of modalities."""
    for name in wanted or ():
        if name not in model.modalities:
            hint = errors.nearest(name, model.modalities)
            raise errors.ConfigError(
                f"modality {name!r} is not in the model, which has "
                f"{', '.join(model.modalities)}.{hint}"
            )
        if not corpus.having(name):
            raise errors.DataError(
                corpus.root,
                f"no item of the split has a file of modality {name!r}; leave it out or "
                "add the files",
            )
    offered = [
        name
        for name in rows.MODALITIES
        if name in (wanted or model.modalities) and corpus.having(name)
    ]
    if not offered:
        raise errors.DataError(
            corpus.root,
            f"has no file of the model's modalities ({', '.join(model.modalities)}); add some",
        )
    return tuple(offered)

"""The published benchmarks, one row each: what is asked of which data set, and by which rules.

A task is written as in the papers, "audio+video->text": the left side asks, the right side is
found. Sides of several modalities add up as `scoring.fuse` says. What is asked in which protocol:
spec section 7, the tables of the paper section 9.
"""

import dataclasses
from collections.abc import Callable, Mapping

from lb_jax.core import errors
from lb_jax.core.modalities import LANGUAGEBIND, MODALITIES, TEXT
from lb_jax.evaluation.benchmarks import prompts
from lb_jax.evaluation.metrics import java_scorers, scoring
from lb_jax.media.clips import Views

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Task:
    """Who asks for what.

    Attributes:
      query: modalities of the asking side, "text" among them.
      target: modalities of what is found.
      share: of the items that take part, chosen by a hash of their names (the paper's random 10 %
        of some test sets was never published).
    """

    query: tuple[str, ...]
    target: tuple[str, ...]
    share: float = 1.0

    def __str__(self) -> str:
        return f"{'+'.join(self.query)}->{'+'.join(self.target)}"

    @property
    def media(self) -> tuple[str, ...]:
        """The modalities besides text, each once."""
        return tuple(dict.fromkeys(one for one in self.query + self.target if one != TEXT))

    def without(self, modality: str) -> "Task | None":
        """The task with a modality less on the side of several; None where it stands alone."""
        query, target = (
            tuple(one for one in side if one != modality) for side in (self.query, self.target)
        )
        return Task(query, target, self.share) if query and target else None


def parse(text: str, share: float = 1.0) -> Task:
    """Reads "audio+video->text".

    Raises:
      ConfigError: for anything else, or a modality that there is not.
    """
    sides = [tuple(side.strip().split("+")) for side in text.split("->")]
    known = (*MODALITIES, TEXT)
    for name in (one for side in sides for one in side):
        if name not in known:
            raise errors.ConfigError(
                f"task {text!r}: no modality {name!r}; there are {', '.join(known)}."
                f"{errors.nearest(name, known)}"
            )
    names = [name for side in sides for name in side]
    if len(sides) != 2 or len(set(names)) < len(names) or min(map(len, sides)) > 1:
        raise errors.ConfigError(
            f"task is {text!r}; expected different modalities on two sides, one of them alone, "
            "such as audio+video->text."
        )
    query, target = sides
    return Task(query, target, share)


@dataclasses.dataclass(frozen=True)
class Writing:
    """What a model that writes is asked for: a caption of each item, or answers to its questions.

    Attributes:
      kind: one of `KINDS`.
      media: modalities of the items that it is shown.
    """

    kind: str
    media: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'+'.join(self.media)}->{self.kind}"


CAPTION, ANSWER = "caption", "answer"
KINDS = (CAPTION, ANSWER)


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Texts that stand for classes: a list of class names and a kind of templates."""

    classes: str
    kind: str
    word: str | None = None

    def texts(self) -> dict[str, list[str]]:
        """Label on disk -> its texts."""
        return prompts.prompts(self.classes, self.kind, self.word)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One data set and what is asked of it.

    Attributes:
      title: as the papers call it.
      tasks: what is asked, the first being the headline.
      prompts: of its classes; None where items have captions.
      several: whether an item has several right classes.
      pairs: whether probabilities are shown instead of ranks, the items being a handful.
      views: of videos; None embeds each once.
      by_caption: whether items of the same captions are right for each other when a text looks for
        its item.
      written: what models that write are asked for besides.
    """

    title: str
    tasks: tuple[Task, ...]
    prompts: Prompts | None = None
    several: bool = False
    pairs: bool = False
    views: Views | None = None
    by_caption: bool = False
    written: tuple[Writing, ...] = ()


def _written(kind: str, *sides: str) -> tuple[Writing, ...]:
    return tuple(Writing(kind, tuple(side.split("+"))) for side in sides)


def _questions(title: str, *sides: str) -> Benchmark:
    return Benchmark(title, (), written=_written(ANSWER, *sides))


def _tasks(*texts: str, share: float = 1.0) -> tuple[Task, ...]:
    return tuple(parse(text, share) for text in texts)


_BOTH_WAYS = _tasks("text->video", "video->text")
_SOUND = _tasks("text->audio", "audio->text")
_WITH_SOUND = _tasks("text->audio+video", "audio+video->text")
_PART = 0.1  # rows marked with a dagger in the paper

# name, which is also the folder below --root: the row
BENCHMARKS: Mapping[str, Benchmark] = {
    "msrvtt": Benchmark(
        "MSR-VTT",
        (*_BOTH_WAYS, *_tasks("audio+video->text", "text->audio+video", "text->audio")),
    ),
    "msvd": Benchmark("MSVD", _BOTH_WAYS, written=_written(CAPTION, "video")),
    "didemo": Benchmark("DiDeMo", (*_BOTH_WAYS, *_WITH_SOUND)),
    "activitynet": Benchmark("ActivityNet", (*_BOTH_WAYS, *_WITH_SOUND)),
    "lsmdc": Benchmark("LSMDC", (*_BOTH_WAYS, *_WITH_SOUND)),
    "vatex": Benchmark(
        "VATEX", (*_BOTH_WAYS, *_WITH_SOUND), written=_written(CAPTION, "audio+video", "video")
    ),
    "youcook2": Benchmark("YouCook2", _tasks("text->video", "video->text")),
    "valor32k": Benchmark(
        "VALOR-32K",
        _tasks("text->audio+video", "text->video", "text->audio"),
        written=_written(CAPTION, "audio+video", "video", "audio"),
    ),
    "clotho": Benchmark("Clotho", _SOUND, written=_written(CAPTION, "audio")),
    "audiocaps": Benchmark("AudioCaps", _SOUND, written=_written(CAPTION, "audio")),
    "coco": Benchmark(
        "COCO", _tasks("text->image", "image->text"), written=_written(CAPTION, "image")
    ),
    "msrvtt_caption": Benchmark(
        "MSR-VTT captions", (), written=_written(CAPTION, "audio+video", "video")
    ),
    "msrvtt_qa": _questions("MSRVTT-QA", "audio+video", "video"),
    "msvd_qa": _questions("MSVD-QA", "video"),
    "tgif_qa": _questions("TGIF-QA, frames", "video"),
    "activitynet_qa": _questions("ActivityNet-QA", "video"),
    "music_avqa": _questions("MUSIC-AVQA", "audio+video", "video"),
    "k400": Benchmark(
        "K400", _tasks("video->text"), Prompts("k400", "photo", "video"), views=Views()
    ),
    "k600": Benchmark(
        "K600", _tasks("video->text"), Prompts("k600", "photo", "video"), views=Views()
    ),
    "imagenet": Benchmark("ImageNet", _tasks("image->text"), Prompts("imagenet", "photo")),
    "nyu_depth": Benchmark(
        "NYU-D",
        _tasks(
            "depth->text",
            "image->text",
            "depth+image->text",
            "image->depth",
            "image+text->depth",
            "depth->image",
            "depth+text->image",
        ),
        Prompts("nyu_depth", "photo", "depth photo"),
    ),
    "sun_depth": Benchmark(
        "SUN-D", _tasks("depth->text"), Prompts("sun_depth", "photo", "depth photo")
    ),
    "llvip": Benchmark(
        "LLVIP",
        (
            *_tasks("thermal->text", "image->text", "image+thermal->text"),
            *_tasks(
                "image->thermal",
                "image+text->thermal",
                "thermal->image",
                "thermal+text->image",
                share=_PART,
            ),
        ),
        Prompts("llvip", "photo"),
    ),
    "flir_v1": Benchmark("FLIR v1", _tasks("thermal->text"), Prompts("flir_v1", "photo")),
    "flir_v2": Benchmark("FLIR v2", _tasks("thermal->text"), Prompts("flir_v2", "photo")),
    "esc50": Benchmark("ESC-50", _tasks("audio->text"), Prompts("esc50", "sound")),
    "vggsound": Benchmark(
        "VGGSound",
        (*_tasks("audio->text"), *_tasks("image->audio", share=_PART)),
        Prompts("vggsound", "sound"),
    ),
    "audioset": Benchmark(
        "AudioSet", _tasks("audio->text"), Prompts("audioset", "sound"), several=True
    ),
    "ave": Benchmark("AVE", _tasks("image->audio", share=_PART)),
    "smoke": Benchmark(
        "README samples", _tasks(*(f"{name}->text" for name in LANGUAGEBIND)), pairs=True
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to score: ours by default, each choice of the original by name (spec 10.1).

    Attributes:
      scoring: of captions and of partners, "cosine" or "dot", the original's product of embeddings
        that are not normalised. Classes are compared by cosine, in the original too.
      fusion: how several modalities on a side add up, see `scoring.fuse`.
      k400_norm: pixel statistics of the views of Kinetics, "clip" as in training, or "imagenet".
      thermal_templates: "photo", with which the paper's figures were made, or "thermal".
      scorers: of captions besides those in Python, see `metrics.java_scorers`; checked at once.
      dual_softmax: "off", or "on" for captions and their items, see `metrics.dual_softmax`.

    Raises:
      ConfigError: for a value that there is not, or a scorer that cannot run here.
    """

    scoring: str = "cosine"
    fusion: str = "cosine"
    k400_norm: str = "clip"
    thermal_templates: str = "photo"
    dual_softmax: str = "off"
    scorers: tuple[str, ...] = ()

    def __post_init__(self):
        java_scorers.require(self.scorers)
        for name, choices in CHOICES.items():
            found = getattr(self, name)
            if found not in choices:
                raise errors.ConfigError(
                    f"{name} is {found!r}; expected one of {', '.join(choices)}."
                    f"{errors.nearest(str(found), choices)}"
                )

    def apply(self, benchmark: Benchmark) -> Benchmark:
        """The row with this choice of statistics and templates."""
        for change in (_STATISTICS[self.k400_norm], _TEMPLATES[self.thermal_templates]):
            benchmark = change(benchmark)
        return benchmark


def _imagenet_statistics(row: Benchmark) -> Benchmark:
    if row.views is None:
        return row
    views = dataclasses.replace(row.views, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return dataclasses.replace(row, views=views)


def _thermal_words(row: Benchmark) -> Benchmark:
    if row.prompts is None or row.tasks[0].query != ("thermal",):
        return row
    words = dataclasses.replace(row.prompts, word="thermal infrared photo")
    return dataclasses.replace(row, prompts=words)


_Change = Callable[[Benchmark], Benchmark]
_STATISTICS: dict[str, _Change] = {"clip": lambda row: row, "imagenet": _imagenet_statistics}
_TEMPLATES: dict[str, _Change] = {"photo": lambda row: row, "thermal": _thermal_words}

CHOICES: Mapping[str, tuple[str, ...]] = {
    "scoring": tuple(scoring.SCORINGS),
    "fusion": tuple(scoring.FUSIONS),
    "k400_norm": tuple(_STATISTICS),
    "thermal_templates": tuple(_TEMPLATES),
    "dual_softmax": ("off", "on"),
}


def choose(names: list[str] | None) -> dict[str, Benchmark]:
    """The rows of the table by name; all of them for None.

    Raises:
      ConfigError: for a name that there is not.
    """
    for name in names or ():
        if name not in BENCHMARKS:
            raise errors.ConfigError(
                f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}."
                f"{errors.nearest(name, BENCHMARKS)}"
            )
    return {name: BENCHMARKS[name] for name in names or BENCHMARKS}

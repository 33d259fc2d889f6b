"""Linear classifiers on frozen features, one row a data set: what is looked at, and by which C.

UCF101 is MMV's `eval_ucf101.py`, HMDB51 the example of DMVR (MMV spec 6.1 and 6.2). Of the others
the protocol was not published in full: their C is ours, for as many rows as they have.
"""

import dataclasses
from collections.abc import Mapping

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.benchmarks.table import Task
from lb_jax.evaluation.metrics import svm
from lb_jax.media.passes import Passes


@dataclasses.dataclass(frozen=True)
class Probe:
    """One data set.

    Attributes:
      title: as the papers call it.
      modality: of its items.
      c: weight of the errors, see `metrics.svm`.
      c_of: width of the features -> its own C, where one was published.
      train, test: how videos are looked at; None takes an item once, as a whole.
      parts: divisions of the data set to run; None takes all. Their tests count together.
      several: whether an item has several right classes.
    """

    title: str
    modality: str
    c: float
    c_of: Mapping[int, float] = dataclasses.field(default_factory=dict)
    train: Passes | None = None
    test: Passes | None = None
    parts: tuple[str, ...] | None = None
    several: bool = False

    @property
    def task(self) -> "ClassTask":
        """What is asked."""
        return ClassTask((self.modality,), (TEXT,))


@dataclasses.dataclass(frozen=True)
class ClassTask(Task):
    """Which class an item is of, told by a classifier that learnt it."""

    def __str__(self) -> str:
        return f"{'+'.join(self.query)}->class"


_HMDB = {"stride": 1, "crop": 200}  # of frames at 25 a second, the short side 224
# Of MMV's towers, told by the width of their features: S3D-G, TSM-ResNet-50 of one and two widths.
_HMDB_C = {1024: 3e-4, 2048: 1e-4, 4096: 3e-4}

# name, which is also the folder below --root: the row
PROBES: Mapping[str, Probe] = {
    "ucf101": Probe(
        "UCF101, split 1",
        "video",
        1e-3,
        train=Passes(count=10, drawn=True),
        test=Passes(count=10),
        parts=("1",),
    ),
    "hmdb51": Probe(
        "HMDB51, three splits",
        "video",
        3e-4,
        _HMDB_C,
        train=Passes(count=10, drawn=True, **_HMDB),
        test=Passes(count=10, **_HMDB),
    ),
    "esc50": Probe("ESC-50, five folds", "audio", 1e-2),
    "audioset": Probe("AudioSet", "audio", 1e-3, several=True),
    "k600": Probe("K600", "video", 1e-4, train=Passes(count=1, drawn=True), test=Passes(count=10)),
    "voc2007": Probe("PASCAL VOC 2007", "image", 1e-2, several=True),
    "imagenet": Probe("ImageNet", "image", 1e-4),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the classifiers learn, beside what the rows say.

    Attributes:
      c: instead of that of the rows.

    Raises:
      ConfigError: c is not above 0, or scikit-learn is not installed.
    """

    c: float | None = None

    def __post_init__(self):
        svm.require()
        if self.c is not None and not 0 < self.c < float("inf"):
            raise errors.ConfigError(f"C is {self.c}, expected a number above 0.")

    def weight(self, row: Probe, width: int) -> float:
        """C of a row for features of a width."""
        return self.c or row.c_of.get(width, row.c)


@dataclasses.dataclass(frozen=True)
class Used:
    """What a suite was run with, for `results.to_json`.

    Attributes:
      features: of which layer.
      solver: that learnt.
      c: name of a data set -> its C.
    """

    features: str
    solver: str
    c: Mapping[str, float]


def choose(names: list[str] | None) -> dict[str, Probe]:
    """The rows of the table by name; all of them for None.

    Raises:
      ConfigError: for a name that there is not.
    """
    for name in names or ():
        if name not in PROBES:
            raise errors.ConfigError(
                f"no data set of the suite linear {name!r}; there are {', '.join(PROBES)}."
                f"{errors.nearest(name, PROBES)}"
            )
    return {name: PROBES[name] for name in names or PROBES}

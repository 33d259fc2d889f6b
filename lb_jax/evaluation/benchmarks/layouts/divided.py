"""Data sets with what is learnt from beside what is tested, for classifiers on frozen features.

    DIVIDED["ucf101"].read(Path("datasets/ucf101")) -> splits.Divided

Read as the test sets, by the lists that each comes with; what of it is missing, twice or cannot be
used is a problem of the split.
"""

import collections
import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import prompts, splits
from lb_jax.evaluation.benchmarks.layouts import annotations, pictures, sound
from lb_jax.evaluation.benchmarks.layouts.files import Files, folder
from lb_jax.evaluation.benchmarks.layouts.reading import Reading
from lb_jax.evaluation.benchmarks.splits import Divided, Part


def ucf101(root: Path) -> Divided:
    """Reads UCF101 with its three splits.

    `ucfTrainTestlist/` (or `splits/`) has `classInd.txt`, `trainlist0{1,2,3}.txt` and
    `testlist0{1,2,3}.txt`, rows of `<class>/<name>.avi` with or without a number; videos lie in
    `UCF-101/` or `videos/`, in folders of classes or not.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    annotations.require_folder(root)
    lists = root / folder(root, "ucfTrainTestlist", "splits")
    rows = [(where, line.split()) for where, line in annotations.lines(lists / "classInd.txt")]
    classes = {cells[-1]: _spaced(cells[-1]) for _, cells in rows}
    reading = Reading(root, classes)
    parts = {}
    for number in ("1", "2", "3"):
        sides = {}
        for side in ("train", "test"):
            path, found = lists / f"{side}list0{number}.txt", []
            for where, line in annotations.lines(path):
                label, _, name = line.split()[0].replace("\\", "/").rpartition("/")
                id_ = Path(name).stem
                if not label or not reading.is_named(id_, where):
                    reading.bad_row(where, "expected <class>/<name>.avi")
                elif id_ in reading.ids or reading.add(id_, where, labels=(label,)):
                    found.append(id_)
            sides[side] = tuple(dict.fromkeys(found))
        parts[number] = Part(**sides)
    files = Files(root, "video", (folder(root, "UCF-101", "videos"),))
    reading.find_all("video", files)
    reading.extras(files)
    return Divided(reading.split(), parts, classes)


_HMDB_LIST = re.compile(r"(.+)_test_split([123])\.txt")
_HMDB_USES = {"0": None, "1": "train", "2": "test"}


def hmdb51(root: Path) -> Divided:
    """Reads HMDB51 with its three splits.

    `testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt` has rows of `<name>.avi` and 1 to
    learn from, 2 to be tested, 0 for neither; videos are `<class>/<name>.avi` in `videos/`,
    `hmdb51_org/` or the data set's folder. Items are named `<class>/<name>`.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    annotations.require_folder(root)
    lists = root / "testTrainMulti_7030_splits"
    found = sorted(path.name for path in lists.glob("*.txt")) if lists.is_dir() else []
    named = [match for match in map(_HMDB_LIST.fullmatch, found) if match]
    if not named:
        raise errors.DataError(lists, "has no <class>_test_split1.txt; expected the lists there")
    classes = {label: label.replace("_", " ") for label in sorted({one[1] for one in named})}
    reading = Reading(root, classes)
    sides: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for match in named:
        label, number = match.groups()
        for where, line in annotations.lines(lists / match[0]):
            name, _, use = line.rpartition(" ")
            name = Path(name.strip()).stem
            if use not in _HMDB_USES or not reading.is_named(name, where):
                reading.bad_row(where, f"expected <name>.avi and 0, 1 or 2, found {line[:80]!r}")
                continue
            id_ = f"{label}/{name}"
            if id_ not in reading.ids:
                reading.add(id_, where, labels=(label,))
            sides[number, _HMDB_USES[use] or ""].append(id_)
    parts = {
        number: Part(tuple(sides[number, "train"]), tuple(sides[number, "test"]))
        for number in sorted({one[2] for one in named})
    }
    top = folder(root, "videos", "hmdb51_org", ".")
    before = "" if top == "." else f"{top}/"
    files = Files(root, "video", [f"{before}{label}" for label in classes], by_path=True)
    reading.find_all("video", files, lambda id_: (f"{before}{id_}",))
    reading.extras(files)
    return Divided(reading.split(), parts, classes)


def esc50(root: Path) -> Divided:
    """Reads ESC-50 in its five folds: each is tested once, the others are learnt from.

    As `sound.esc50`, by the column `fold` of `meta/esc50.csv`.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    split, known = sound.esc50(root), set()
    folds: dict[str, list[str]] = collections.defaultdict(list)
    problems = list(split.problems)
    for where, row in annotations.table(root / "meta" / "esc50.csv", ("filename", "fold")):
        id_ = row["filename"] if row else ""
        if row is None or id_ not in split.labels or id_ in known:
            continue
        known.add(id_)
        fold = row["fold"].strip()
        if fold.isdigit():
            folds[fold].append(id_)
        else:
            reason = f"{where}: fold is {fold!r}, expected a number; it is left out"
            problems.append(splits.Problem(splits.ANNOTATION, id_, reason))
    parts = {}
    for fold in sorted(folds, key=int):
        others = [id_ for name, ids in folds.items() if name != fold for id_ in ids]
        parts[fold] = Part(tuple(others), tuple(folds[fold]))
    split = dataclasses.replace(split, problems=tuple(problems))
    return Divided(split, parts, prompts.classes("esc50"))


def audioset(root: Path) -> Divided:
    """Reads AudioSet: its balanced training segments and those of evaluation.

    As `sound.audioset`, each part from `<part>_segments.csv` and `<part>_segments/`. The
    unbalanced segments are learnt from as well where `unbalanced_train_segments.csv` is there.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    test, train = sound.audioset(root), sound.audioset(root, "balanced_train")
    if (root / "unbalanced_train_segments.csv").is_file():
        train = train.merged(sound.audioset(root, "unbalanced_train"), root)
    return _both(root, "audioset", train, test)


def k600(root: Path) -> Divided:
    """Reads Kinetics-600: `train.csv` as `pictures.k600` reads `val.csv`, and that.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    return _both(root, "k600", pictures.k600(root, "train"), pictures.k600(root))


def imagenet(root: Path) -> Divided:
    """Reads ImageNet-1k: `train/<wnid>/*.JPEG`, and `val/` as `pictures.imagenet`.

    Raises:
      errors.DataError: a folder is absent.
    """
    return _both(root, "imagenet", pictures.imagenet(root, "train"), pictures.imagenet(root))


def _both(root: Path, name: str, train: splits.Split, test: splits.Split) -> Divided:
    """One division; what both sides list counts as of the test alone."""
    tested = set(test.ids)
    learnt = tuple(id_ for id_ in train.ids if id_ not in tested)
    whole = train.merged(test, root)
    reason = "is listed to learn from and to be tested; it is tested"
    twice = [id_ for id_ in train.ids if id_ in tested]
    problems = [splits.Problem(splits.DUPLICATE, id_, reason) for id_ in twice]
    whole = dataclasses.replace(whole, problems=(*whole.problems, *problems))
    return Divided(whole, {"1": Part(learnt, test.ids)}, prompts.classes(name))


VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_VOC_FOLDERS = ("VOCdevkit/VOC2007", "VOC2007", ".")


def voc2007(root: Path) -> Divided:
    """Reads the classification task of PASCAL VOC 2007: `trainval` and `test`.

    `ImageSets/Main/<class>_{trainval,test}.txt` has rows of a picture and 1 for yes, -1 for no, 0
    for difficult, which counts as neither; pictures are `JPEGImages/<picture>.jpg`. Both lie in
    `VOCdevkit/VOC2007/`, `VOC2007/` or the data set's folder.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    annotations.require_folder(root)
    top = next((one for one in _VOC_FOLDERS if (root / one / "ImageSets").is_dir()), "")
    if not top:
        annotations.no_folder(root, *(f"{one}/ImageSets" for one in _VOC_FOLDERS))
    reading = Reading(root)
    labels: dict[str, list[str]] = collections.defaultdict(list)
    unsure: dict[str, list[str]] = collections.defaultdict(list)
    kept = {"1": labels, "0": unsure}
    sides = {}
    for side in ("trainval", "test"):
        ids: dict[str, None] = {}
        for label in VOC_CLASSES:
            path = root / top / "ImageSets" / "Main" / f"{label}_{side}.txt"
            for where, line in annotations.lines(path):
                id_, *told = line.split()
                if len(told) != 1 or told[0] not in ("-1", "0", "1"):
                    reading.bad_row(
                        where, f"expected a picture and -1, 0 or 1, found {line[:80]!r}"
                    )
                elif reading.is_named(id_, where):
                    if id_ not in reading.ids:
                        reading.add(id_, where)
                    ids[id_] = None
                    if told[0] in kept:
                        kept[told[0]][id_].append(label)
        sides[side] = tuple(ids)
    files = Files(root, "image", (f"{top}/JPEGImages" if top != "." else "JPEGImages",))
    reading.find_all("image", files)
    reading.extras(files)
    split = reading.split()
    told_of = {id_: tuple(labels.get(id_, ())) for id_ in split.ids}
    return Divided(
        dataclasses.replace(split, labels=told_of),
        {"1": Part(sides["trainval"], sides["test"])},
        {label: label for label in VOC_CLASSES},
        {id_: tuple(ones) for id_, ones in unsure.items()},
    )


def _spaced(name: str) -> str:
    """ "ApplyEyeMakeup" -> "apply eye makeup"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


@dataclasses.dataclass(frozen=True)
class Layout:
    """One data set.

    Attributes:
      read: its folder -> what is there; raises `errors.DataError`.
      items: how many were published, of all parts; None where that is not known.
      tree: what the folder holds, in a line.
    """

    read: Callable[[Path], Divided]
    items: int | None
    tree: str


# Items: of UCF101, HMDB51, ESC-50, VOC and ImageNet their papers.
DIVIDED: Mapping[str, Layout] = {
    "ucf101": Layout(
        ucf101,
        13_320,
        "ucfTrainTestlist/{classInd,trainlist01,testlist01,…}.txt, UCF-101/<class>/<name>.avi",
    ),
    "hmdb51": Layout(
        hmdb51, 6_766, "testTrainMulti_7030_splits/<class>_test_split1.txt, <class>/<name>.avi"
    ),
    "esc50": Layout(esc50, 2_000, "meta/esc50.csv, audio/*.wav"),
    "audioset": Layout(
        audioset, None, "{balanced_train,eval}_segments.csv, {balanced_train,eval}_segments/Y<id>.*"
    ),
    "k600": Layout(k600, None, "{train,val}.csv and the paths in them, or {train,val}/**"),
    "voc2007": Layout(
        voc2007, 9_963, "VOCdevkit/VOC2007/{ImageSets/Main/<class>_{trainval,test}.txt,JPEGImages}"
    ),
    "imagenet": Layout(imagenet, 1_331_167, "{train,val}/<wnid>/*.JPEG"),
}

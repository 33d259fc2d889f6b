"""Classes of videos and of pictures of all kinds, and LanguageBind's own samples."""

import re
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import LANGUAGEBIND, MODALITIES
from lb_jax.evaluation.benchmarks import prompts, splits
from lb_jax.evaluation.benchmarks.layouts import annotations
from lb_jax.evaluation.benchmarks.layouts.files import Files, folder, inside, is_text
from lb_jax.evaluation.benchmarks.layouts.reading import Reading, number
from lb_jax.evaluation.benchmarks.layouts.sound import with_paths

# Spec 9.6, the README of LanguageBind.
SMOKE_TEXTS = (
    "Training a parakeet to climb up a ladder.",
    "A lion climbing a tree to catch a monkey.",
)
_SHOWN = 5  # class folders in a message

# Folders of classes are all the annotation that these have, so that nobody misses a lost file. A
# list of the items beside them tells; `lb-jax data check --write-list` writes it.
LISTED = ("imagenet", "nyu_depth", "llvip", "flir_v1", "flir_v2")
LIST = "items.txt"


def k400(root: Path) -> splits.Split:
    """Reads the validation list of Kinetics-400, see `_kinetics`."""
    return _kinetics(root, "k400")


def k600(root: Path, part: str = "val") -> splits.Split:
    """Reads the validation list of Kinetics-600, or that of the part "train", see `_kinetics`."""
    return _kinetics(root, "k600", part)


# How the parts of Kinetics are called, as cvdfoundation and DeepMind hand them out.
_KINETICS_PARTS = {"val": ("val", "validate", "validation"), "train": ("train",)}
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def _kinetics_lists(part: str) -> list[str]:
    names = _KINETICS_PARTS[part][:2]
    return [f"{folder}{name}.csv" for name in names for folder in ("", "annotations/")]


def _kinetics_folders(part: str) -> tuple[str, ...]:
    return (*_KINETICS_PARTS[part], f"videos_{part}", "videos", "replacement")


def _kinetics(root: Path, name: str, part: str = "val") -> splits.Split:
    """Reads `val.csv`: a path below the data set's folder, a space or comma, a label (spec 7.2).

    A label is the class or its number in the sorted list, as in the lists of VideoMAE that
    LanguageBind `v_cls/` reads. Paths and labels may contain spaces. Items are named by the path.

    Or the data set's own list, `label,youtube_id,time_start,time_end,split`, in `annotations/` or
    not, and clips named `<youtube_id>_<start>_<end>.*`, the seconds in six digits or as they are,
    anywhere in `val/`. Items are then named as the clips.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    lists = _kinetics_lists(part)
    listed = next((one for one in lists if (root / one).is_file()), lists[0])
    classes = prompts.classes(name)
    labels, reading = list(classes), Reading(root, classes)
    rows = annotations.lines(root / listed)
    if rows and {*_KINETICS_COLUMNS[1:]} & {one.strip(' "') for one in rows[0][1].split(",")}:
        return _own_list(reading, root / listed, part)
    endings = "|".join(re.escape(one) for one in MODALITIES["video"].suffixes)
    numbered = re.compile(r"(.+?)(?:\s+|,\s*)([0-9]{1,4})")
    named = re.compile(rf"(.+?(?:{endings}))(?:\s+|,\s*)(\S.*)", re.IGNORECASE)
    for where, line in rows:
        row = numbered.fullmatch(line) or named.fullmatch(line)
        if row is None:
            reading.bad_row(where, f"expected a path and a label, found {line[:80]!r}")
            continue
        path, label = row.groups()
        if label.isdigit() and int(label) < len(labels):
            label = labels[int(label)]
        if (id_ := inside(root, path)) is None:
            reading.bad_row(path, f"{where}: is no path in the data set's folder")
        else:
            reading.add(id_, where, labels=(label.strip('"'),))
    return with_paths(reading, "video")


def _own_list(reading: Reading, path: Path, part: str) -> splits.Split:
    """Reads Kinetics' own list, and finds its clips by identifier and time."""
    names = {}
    for where, row in annotations.table(path, _KINETICS_COLUMNS):
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
            continue
        times = [number(row[column].strip()) for column in ("time_start", "time_end")]
        split = row.get("split", "").strip().lower()
        if None in times:
            found = f"{row['time_start']!r} and {row['time_end']!r}"
            reading.bad_row(where, f"expected times in seconds, found {found}")
        elif split not in ("", *_KINETICS_PARTS[part]):
            reading.bad_row(where, f"is of split {split!r}, expected {part}")
        elif reading.is_named(row["youtube_id"].strip(), where):
            stem = row["youtube_id"].strip()
            id_ = "_".join([stem, *(f"{int(time):06d}" for time in times)])
            if reading.add(id_, where, labels=(row["label"].strip(),)):
                names[id_] = (id_, "_".join([stem, *(f"{time:g}" for time in times)]))
    folders = _kinetics_folders(part)
    there = [one for one in folders if (reading.root / one).is_dir()]
    files = Files(reading.root, "video", there or folders[:1])
    reading.expect("video")
    for id_, both in names.items():
        reading.find("video", files, id_, *both)
    reading.extras(files)
    return reading.split()


def imagenet(root: Path, part: str = "val") -> splits.Split:
    """Reads the validation pictures of ImageNet-1k, in folders named by WordNet ids, or "train".

    `val/<wnid>/*.JPEG` is what the usual script (`valprep.sh` of soumith/imagenetloader.torch)
    makes of the archive, and what torchvision and OpenCLIP read.

    Raises:
      errors.DataError: the folder is absent.
    """
    return _class_folders(root, "imagenet", {"image": (part,)}, listed=part == "val")


def nyu_depth(root: Path) -> splits.Split:
    """Reads NYU Depth v2 in ten scenes: depth, and pictures where they are there.

    `data/val/<class>/*.png` is LanguageBind's tree (`TRAIN_AND_VALIDATE.md`); 16-bit millimetres.
    Pictures with the same names in `rgb/val/<class>/` are ours, for the joint rows (spec 9.4),
    which LanguageBind published without a tree. The official test split has 654 items; ImageBind
    lists 653.

    Raises:
      errors.DataError: the folder is absent.
    """
    return _class_folders(root, "nyu_depth", {"depth": ("data/val",), "image": ("rgb/val",)})


def llvip(root: Path) -> splits.Split:
    """Reads crops of LLVIP, people and background: thermal, and pictures where they are there.

    LanguageBind's processed download is `val/{background,person}/*` (`TRAIN_AND_VALIDATE.md`);
    `infrared/` comes first where it is there, `visible/` holds pictures of the same names. Both
    names are those of the official archive. ImageBind counts 15,809 crops.

    Raises:
      errors.DataError: the folder is absent.
    """
    return _class_folders(root, "llvip", {"thermal": ("infrared", "val"), "image": ("visible",)})


def flir_v1(root: Path) -> splits.Split:
    """Reads crops of FLIR ADAS v1, `val/<class>/*` (LanguageBind `TRAIN_AND_VALIDATE.md`).

    Raises:
      errors.DataError: the folder is absent.
    """
    return _class_folders(root, "flir_v1", {"thermal": ("val",)})


def flir_v2(root: Path) -> splits.Split:
    """Reads crops of FLIR ADAS v2, `val/<class>/*` (LanguageBind `TRAIN_AND_VALIDATE.md`).

    Raises:
      errors.DataError: the folder is absent.
    """
    return _class_folders(root, "flir_v2", {"thermal": ("val",)})


def _class_folders(
    root: Path, name: str, folders: dict[str, tuple[str, ...]], *, listed: bool = True
) -> splits.Split:
    """Reads folders of classes: items are `<class>/<name without ending>`, sorted.

    Where `LIST` is there, the items are its lines, if it is `listed` of this part.

    Args:
      root: the data set's folder.
      name: list of classes.
      folders: modality -> folders it may lie in. The first modality makes the items and must be
        there, others may be.

    Raises:
      errors.DataError: the first modality's folder is absent.
    """
    classes = prompts.classes(name)
    reading = Reading(root, classes)
    first, *others = folders
    top = folder(root, *folders[first])
    if not (root / top).is_dir():
        annotations.no_folder(root, *folders[first])
    files = {first: Files(root, first, (top,), by_path=True)}
    if listed and (root / LIST).is_file():
        for where, id_ in annotations.lines(root / LIST):
            if inside(root, f"{top}/{id_}") is None or id_.count("/") != 1:
                reading.bad_row(id_, f"{where}: is no <class>/<name>")
            else:
                reading.add(id_, where, labels=(id_.split("/")[0],))
    else:
        for path in files[first]:
            parts = path.relative_to(root / top).with_suffix("").parts
            id_ = "/".join(parts)
            is_item = len(parts) == 2 and parts[0] in classes and is_text(id_)
            if is_item and id_ not in reading.ids:
                reading.add(id_, top, labels=(parts[0],))
    _folder_problems(reading, first, top, classes)
    for modality in others:
        if (root / folder(root, *folders[modality])).is_dir():
            files[modality] = Files(
                root, modality, (folder(root, *folders[modality]),), by_path=True
            )
    for modality, ones in files.items():
        reading.expect(modality)
        for id_ in reading.ids:
            reading.find(modality, ones, id_, f"{folder(root, *folders[modality])}/{id_}")
    reading.extras(*files.values())
    return reading.split()


def _folder_problems(reading: Reading, modality: str, top: str, classes: dict[str, str]) -> None:
    """Notes folders that are no class, and classes without items."""
    there = [one.name for one in sorted((reading.root / top).iterdir()) if one.is_dir()]
    for label in there:
        if label not in classes and not label.startswith("."):
            reading.bad_row(f"{top}/{label}", "is the folder of no class")
    held = {id_.split("/")[0] for id_ in reading.ids}
    if absent := [label for label in classes if label not in held]:
        shown = ", ".join(absent[:_SHOWN]) + (", ..." if len(absent) > _SHOWN else "")
        reading.problem(
            splits.MISSING,
            top,
            f"no files of {len(absent)} of the {len(classes)} classes: {shown}",
            modality,
        )


def sun_depth(root: Path) -> splits.Split:
    """Reads test samples of SUN RGB-D in 19 scenes: depth and pictures.

    `test.txt` lists sample folders below the data set's folder; it is made out of the official
    `allsplit.mat` (docs/evaluation.md). A sample folder has `scene.txt` and `image/*.jpg` (SUN
    RGB-D toolbox). The official PNGs in `depth/` and `depth_bfx/` hold millimetres with their bits
    rotated by three, `(v >> 3) | (v << 13)` in the toolbox's `read3dPoints.m`: as millimetres they
    would be eight times too far. So depth is read from `depth_mm/` alone, which the same page says
    how to write. Samples that the list does not have are no extras: the tree holds all of them.

    Raises:
      errors.DataError: the list is absent or unreadable.
    """
    reading = Reading(root, prompts.classes("sun_depth"))
    for where, line in annotations.lines(root / "test.txt"):
        id_ = inside(root, line)
        if id_ is None:
            reading.bad_row(line, f"{where}: is no path in the data set's folder")
            continue
        try:
            scene = annotations.text(root / id_ / "scene.txt").strip()
        except errors.DataError as error:
            reading.bad_row(id_, f"{where}: its scene.txt: {error.reason}")
        else:
            reading.add(id_, where, labels=(scene,))
    for modality in ("depth", "image"):
        reading.expect(modality)
    for id_ in reading.ids:
        raw = [one for one in ("depth_bfx", "depth") if (root / id_ / one).is_dir()]
        hint = f"; convert {raw[0]}/ to millimetres, see docs/evaluation.md" if raw else ""
        reading.only("depth", id_, f"{id_}/depth_mm", hint)
        reading.only("image", id_, f"{id_}/image")
    return reading.split()


def coco(root: Path) -> splits.Split:
    """Reads the test split of COCO captions by Karpathy: five captions of each picture.

    `dataset_coco.json` is {"images": [{"filename", "split", "sentences": [{"raw"}]}]}, of which the
    split "test" counts. Pictures lie in `val2014/`.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    path = root / "dataset_coco.json"
    value, _ = annotations.json_value(path, dict)
    images = value.get("images")
    for place, row in enumerate(images if isinstance(images, list) else [images], 1):
        where = f"image {place} of {path.name}"
        if not isinstance(row, dict):
            reading.bad_row(where, "is no object")
        elif row.get("split") == "test" and reading.is_named(row.get("filename"), where):
            said = row.get("sentences")
            said = said if isinstance(said, list) else []
            texts = [one.get("raw") if isinstance(one, dict) else None for one in said]
            reading.add(row["filename"], where, texts=texts)
    files = Files(root, "image", ("val2014",))
    reading.find_all("image", files, lambda id_: (Path(id_).stem,))
    reading.extras(files)
    return reading.split()


def smoke(root: Path) -> splits.Split:
    """Reads the two samples of LanguageBind's README, five modalities and a text each (spec 9.6).

    `assets/{video,image,depth,audio,thermal}/{0,1}.*`, as in the repository.

    Raises:
      errors.DataError: the folder is absent.
    """
    reading = Reading(root)
    if not (root / "assets").is_dir():
        annotations.no_folder(root, "assets")
    for place, text in enumerate(SMOKE_TEXTS):
        reading.add(str(place), "the README", texts=(text,))
    for modality in LANGUAGEBIND:
        files = Files(root, modality, (f"assets/{modality}",), deep=False)
        for id_ in reading.ids:
            reading.find(modality, files, id_)
        reading.extras(files)
    return reading.split()

"""Data sets to learn from and to be tested, in miniature: two or three classes that differ plainly.

    folder = divided_miniatures.write("ucf101", tmp_path)  # tmp_path / "ucf101"
    divided = DIVIDED["ucf101"].read(folder)

Films and pictures of the first class are dark, those of the second bright; its sounds are higher by
2,500 Hz. No two files are equal.
"""

from collections.abc import Callable
from pathlib import Path

from tests.evaluation.miniatures import clip, picture, put, sound

EACH = 4  # items of a class, of which one or two are tested
# numbers of files by the colour that `miniatures` gives them
DARK, BRIGHT = (0, 13, 29, 49, 62), (7, 12, 27, 43, 68)


def write(name: str, root: Path) -> Path:
    """Writes a data set, a key of `WRITERS`, into `root / name` and returns that folder."""
    folder = root / name
    folder.mkdir(parents=True)
    WRITERS[name](folder)
    return folder


def _number(label: int, place: int) -> int:
    return (DARK, BRIGHT)[label][place]


def _tone(label: int, place: int) -> bytes:
    return sound(50 * label + place)


def _ucf101(folder: Path) -> None:
    names = ("ApplyEyeMakeup", "YoYo")
    lists = {f"{side}list0{n}": [] for side in ("train", "test") for n in (1, 2, 3)}
    for label, name in enumerate(names):
        for place in range(EACH):
            path = f"{name}/v_{name}_g{place + 1:02d}_c01.avi"
            put(folder / "UCF-101" / path, clip(_number(label, place), "avi"))
            for n in (1, 2, 3):
                is_test = place == EACH - n
                row = path if is_test else f"{path} {label + 1}"
                lists[f"{'test' if is_test else 'train'}list0{n}"].append(row)
    for name, rows in lists.items():
        put(folder / f"ucfTrainTestlist/{name}.txt", "\n".join(rows) + "\n")
    index = "".join(f"{label + 1} {name}\n" for label, name in enumerate(names))
    put(folder / "ucfTrainTestlist/classInd.txt", index)


def _hmdb51(folder: Path) -> None:
    for label, name in enumerate(("brush_hair", "wave")):
        files = [f"take {place} #1_{name}_u_cm_np1_fr_med_0.avi" for place in range(EACH)]
        for place, file in enumerate(files):
            put(folder / name / file, clip(_number(label, place), "avi"))
        for n in (1, 2, 3):
            uses = [2 if place == EACH - n else 1 for place in range(EACH)]
            uses[0] = 0  # of no split
            rows = [f"{file} {use} \n" for file, use in zip(files, uses, strict=True)]
            put(folder / f"testTrainMulti_7030_splits/{name}_test_split{n}.txt", "".join(rows))


def _esc50(folder: Path) -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for label, name in enumerate(("dog", "chirping_birds")):
        for place in range(5):
            file = f"{place + 1}-10{label}-A-{label}.wav"
            rows.append(f"{file},{place + 1},{label},{name},True,10{label},A")
            put(folder / "audio" / file, _tone(label, place))
    put(folder / "meta/esc50.csv", "\n".join(rows) + "\n")


def _audioset(folder: Path) -> None:
    mids = ("/m/068hy", "/m/09x0r")
    for part, places in (("balanced_train", range(3)), ("eval", range(3, EACH + 1))):
        rows = ["# YTID, start_seconds, end_seconds, positive_labels"]
        for label, mid in enumerate(mids):
            for place in places:
                id_ = f"abcdefgh_{label}{place}"
                rows.append(f'{id_}, 0.000, 10.000, "{mid}"')
                content = _tone(label, place)
                put(folder / f"{part}_segments/Y{id_}.wav", content)
        put(folder / f"{part}_segments.csv", "\n".join(rows) + "\n")


def _k600(folder: Path) -> None:
    for part, places in (("train", range(3)), ("val", range(3, EACH + 1))):
        rows = []
        for label, name in enumerate(("air drumming", "archery")):
            for place in places:
                path = f"{part}/{label}_{place}.mp4"
                put(folder / path, clip(_number(label, place)))
                rows.append(f"{path} {name}")
        put(folder / f"{part}.csv", "\n".join(rows) + "\n")


def _voc2007(folder: Path) -> None:
    from lb_jax.evaluation.benchmarks.layouts.divided import VOC_CLASSES

    top = folder / "VOCdevkit/VOC2007"
    for side, places in (("trainval", range(3)), ("test", range(3, EACH + 1))):
        named = [
            (label, f"{label:03d}{place:03d}", place) for label in range(2) for place in places
        ]
        for label, name, place in named:
            put(top / f"JPEGImages/{name}.jpg", picture(_number(label, place)))
        for number, word in enumerate(VOC_CLASSES):
            rows = [f"{name} {1 if label == number else -1:2d}\n" for label, name, _ in named]
            put(top / f"ImageSets/Main/{word}_{side}.txt", "".join(rows))
    # the last picture of the test shows what may be a boat
    path = top / "ImageSets/Main/boat_test.txt"
    path.write_text(path.read_text().rstrip()[:-2] + " 0\n")


def _imagenet(folder: Path) -> None:
    for part, places in (("train", range(3)), ("val", range(3, EACH + 1))):
        for label, wnid in enumerate(("n01440764", "n01443537")):
            for place in places:
                name = f"{part}/{wnid}/ILSVRC2012_{part}_{label}{place}.JPEG"
                put(folder / name, picture(_number(label, place)))


# name: writes its files into its folder
WRITERS: dict[str, Callable[[Path], None]] = {
    "ucf101": _ucf101,
    "hmdb51": _hmdb51,
    "esc50": _esc50,
    "audioset": _audioset,
    "k600": _k600,
    "voc2007": _voc2007,
    "imagenet": _imagenet,
}

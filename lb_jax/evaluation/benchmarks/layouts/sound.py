"""Sounds with captions or classes: Clotho, AudioCaps, ESC-50, VGGSound, AudioSet, AVE."""

from pathlib import Path

from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks import prompts, splits
from lb_jax.evaluation.benchmarks.layouts import annotations
from lb_jax.evaluation.benchmarks.layouts.files import Files, folder, inside
from lb_jax.evaluation.benchmarks.layouts.reading import Reading, number

_YOUTUBE_ID = 11  # characters


def clotho(root: Path) -> splits.Split:
    """Reads the evaluation split of Clotho: five captions for each sound.

    `clotho_captions_evaluation.csv` has the columns file_name and caption_1 to caption_5; sounds
    lie in `evaluation/` (Zenodo record of Clotho, LanguageBind `al_ret/datasets.py`, whose tree
    holds the table in `CLOTHO_retrieval_dataset/`: taken from there too).

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    name = "clotho_captions_evaluation.csv"
    path = annotations.one_of(root, name, f"CLOTHO_retrieval_dataset/{name}")
    captions = [f"caption_{i}" for i in range(1, 6)]
    for where, row in annotations.table(path, ("file_name", *captions)):
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
        elif reading.is_named(row["file_name"], where):
            reading.add(row["file_name"], where, texts=[row[one] for one in captions])
    sounds = Files(root, "audio", ("evaluation",))
    reading.find_all("audio", sounds, lambda id_: (Path(id_).stem,))
    reading.extras(sounds)
    return reading.split()


def audiocaps(root: Path) -> splits.Split:
    """Reads the test split of AudioCaps: about five captions for each sound.

    Either the official `test.csv` (audiocap_id, youtube_id, start_time, caption; github.com/
    cdjkim/audiocaps) or the `audiocaps_test.tsv` of ONE-PEACE and LanguageBind (`al_ret/
    datasets.py`: column 1, counted from 0, holds a path whose first ten characters, `audiocaps/`,
    are dropped; column 2 a caption). Sounds and captions keep the order of the file; LanguageBind's
    own order of sounds is that of a set.

    The official one distributes no sound: `<youtube_id>_<start_time>.*`, `<youtube_id>.*` or
    AudioSet's `Y<youtube_id>.*` below `audio/` or `test/`.

    Raises:
      errors.DataError: no annotation, both, or an unreadable one.
    """
    path = annotations.one_of(root, "test.csv", "audiocaps_test.tsv")
    return (_audiocaps_official if path.suffix == ".csv" else _audiocaps_paths)(root, path)


def _audiocaps_official(root: Path, path: Path) -> splits.Split:
    reading = Reading(root)
    columns = ("audiocap_id", "youtube_id", "start_time", "caption")
    places: dict[str, str] = {}
    youtube_ids: dict[str, str] = {}
    captions: dict[str, list[str]] = {}
    rows: set[str] = set()
    for where, row in annotations.table(path, columns):
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
            continue
        youtube_id, start = row["youtube_id"], row["start_time"]
        if not reading.is_named(youtube_id, where):
            continue
        if number(start) is None:
            reading.bad_row(youtube_id, f"{where}: start_time is {start!r}, expected seconds")
            continue
        id_ = f"{youtube_id}_{start.strip()}"
        if row["audiocap_id"] in rows:
            reading.problem(
                splits.DUPLICATE, id_, f"{where} has audiocap_id {row['audiocap_id']} again"
            )
            continue
        rows.add(row["audiocap_id"])
        places.setdefault(id_, where)
        youtube_ids[id_] = youtube_id
        captions.setdefault(id_, []).append(row["caption"])
    sounds = Files(root, "audio", (folder(root, "audio", "test"),))
    reading.expect("audio")
    for id_, texts in captions.items():
        if reading.add(id_, places[id_], texts=texts):
            youtube_id = youtube_ids[id_]
            reading.find("audio", sounds, id_, id_, youtube_id, f"Y{youtube_id}")
    reading.extras(sounds)
    return reading.split()


def _audiocaps_paths(root: Path, path: Path) -> splits.Split:
    reading = Reading(root)
    places: dict[str, str] = {}
    captions: dict[str, list[str]] = {}
    for where, row in annotations.cells(path, "\t")[1:]:
        if len(row) < 3:
            reading.bad_row(
                where, f"has {counted(len(row), 'cell')} with tabs between, expected 3 or more"
            )
        elif (id_ := inside(root, row[1][len("audiocaps/") :])) is None:
            reading.bad_row(row[1], f"{where}: is no path in the data set's folder")
        else:
            places.setdefault(id_, where)
            captions.setdefault(id_, []).append(row[2])
    for id_, texts in captions.items():
        reading.add(id_, places[id_], texts=texts)
    return with_paths(reading, "audio")


def with_paths(reading: Reading, modality: str) -> splits.Split:
    """Finds the files of items whose names are paths below the data set's folder."""
    folders = {Path(id_).parent.as_posix() for id_ in reading.ids}
    files = Files(reading.root, modality, sorted(folders), deep=False, by_path=True)
    reading.find_all(modality, files, lambda id_: (Path(id_).with_suffix("").as_posix(),))
    reading.extras(files)
    return reading.split()


def esc50(root: Path) -> splits.Split:
    """Reads ESC-50: all five folds, a class each.

    `meta/esc50.csv` (filename, fold, target, category, ...) and `audio/*.wav`, as in
    github.com/karolpiczak/ESC-50. LanguageBind scores all 2,000.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root, prompts.classes("esc50"))
    for where, row in annotations.table(root / "meta" / "esc50.csv", ("filename", "category")):
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
        elif reading.is_named(row["filename"], where):
            reading.add(row["filename"], where, labels=(row["category"].strip(),))
    sounds = Files(root, "audio", ("audio",))
    reading.find_all("audio", sounds, lambda id_: (Path(id_).stem,))
    reading.extras(sounds)
    return reading.split()


def vggsound(root: Path) -> splits.Split:
    """Reads the test rows of VGGSound: sound, and the clip where videos are there.

    `vggsound.csv` has no header: youtube id, start second, label, "train" or "test"
    (github.com/hche11/VGGSound). Clips of ten seconds are `<id>_<start in six digits>.*`, as the
    authors name them: sounds in `audio/`, or out of `video/` where there is no such folder. With
    `video/` items have an image too, a frame of the clip.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root, prompts.classes("vggsound"))
    for where, row in annotations.cells(root / "vggsound.csv"):
        split = row[3].strip() if len(row) == 4 else None
        start = row[1].strip() if split else ""
        if split not in ("train", "test") or not (start.isascii() and start.isdigit()):
            reading.bad_row(where, "expected youtube id, whole start second, label, train or test")
        elif split == "test" and reading.is_named(row[0], where):
            reading.add(f"{row[0]}_{int(start):06d}", where, labels=(row[2].strip(),))
    videos = Files(root, "video", ("video",))
    sounds = Files(root, "audio", ("audio",)) if (root / "audio").is_dir() else videos
    modalities = {"audio": sounds}
    if (root / "video").is_dir():
        modalities |= {"image": videos, "video": videos}
    for modality, files in modalities.items():
        reading.find_all(modality, files)
    reading.extras(*dict.fromkeys((videos, sounds)))
    return reading.split()


def audioset(root: Path, part: str = "eval") -> splits.Split:
    """Reads the evaluation segments of AudioSet: several labels each.

    Or those of another part, "balanced_train" or "unbalanced_train", of the same names.

    `eval_segments.csv` (three lines with #, then YTID, start, end, "mid,mid"; research.google.com/
    audioset), or LanguageBind's `filter_eval.json` in its place: {"data": [{"wav", "labels"}]},
    the segments it found on its disk but for one (`a_cls/filter_eval_audio.py`). Sounds are
    `Y<id>.*` or `<id>.*` in `eval_segments/`, cut to the segment.

    Raises:
      errors.DataError: no annotation, both, or an unreadable one.
    """
    reading = Reading(root, prompts.classes("audioset"))
    others = ("filter_eval.json",) if part == "eval" else ()
    path = annotations.one_of(root, f"{part}_segments.csv", *others)
    rows = (_segments if path.suffix == ".csv" else _filtered)(reading, path)
    for where, id_, labels in rows:
        if reading.is_named(id_, where):
            reading.add(id_, where, labels=labels)
    sounds = Files(root, "audio", (f"{part}_segments",))
    reading.find_all("audio", sounds, lambda id_: (f"Y{id_}", id_))
    reading.extras(sounds)
    return reading.split()


def _segments(reading: Reading, path: Path) -> list[tuple[str, str, list[str]]]:
    found = []
    for where, row in annotations.cells(path, spaced=True):
        if row[0].startswith("#"):
            continue
        if len(row) == 4:
            found.append((where, row[0], _mids(row[3])))
        else:
            reading.bad_row(where, 'expected YTID, start, end, "mid,mid"')
    return found


def _filtered(reading: Reading, path: Path) -> list[tuple[str, str, list[str]]]:
    value, _ = annotations.json_value(path, dict)
    data = value.get("data")
    found = []
    for place, row in enumerate(data if isinstance(data, list) else [data], 1):
        where = f"entry {place} of {path.name}"
        wav, labels = (row.get("wav"), row.get("labels")) if isinstance(row, dict) else (None, None)
        if isinstance(wav, str) and isinstance(labels, str):
            stem = Path(wav).stem if "/" not in wav else wav
            is_prefixed = stem.startswith("Y") and len(stem) == _YOUTUBE_ID + 1
            found.append((where, stem[is_prefixed:], _mids(labels)))
        else:
            reading.bad_row(where, 'expected {"wav": name, "labels": "mid,mid"}')
    return found


def _mids(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def ave(root: Path) -> splits.Split:
    """Reads the test list of AVE: image and sound of each event, both out of its video.

    Rows of `testSet.txt` are Category&VideoID&Quality&StartTime&EndTime, with or without that
    header; videos are `AVE/<VideoID>.mp4` (github.com/YapengTian/AVE-ECCV18). The stretch of the
    event holds for both modalities; which frame and which part of the sound LanguageBind took is
    not known. Categories are not used: the published rows are retrieval.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    stretches: dict[str, tuple[float, float]] = {}
    for where, line in annotations.lines(root / "testSet.txt"):
        cells = line.split("&")
        if cells[:2] == ["Category", "VideoID"]:
            continue
        times = [number(one) for one in cells[3:]]
        if len(cells) != 5 or None in times or times[0] >= times[1]:
            reading.bad_row(
                cells[1] if len(cells) == 5 else where,
                f"{where}: expected Category&VideoID&Quality&StartTime&EndTime, start before end",
            )
        elif reading.is_named(cells[1], where) and reading.add(cells[1], where):
            stretches[cells[1]] = times[0], times[1]
    videos = Files(root, "video", ("AVE",))
    for modality in ("image", "audio"):
        reading.expect(modality)
        for id_, (start_s, end_s) in stretches.items():
            reading.find(modality, videos, id_, start_s=start_s, end_s=end_s)
    reading.extras(videos)
    return reading.split()

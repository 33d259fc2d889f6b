"""Videos with captions (spec 7.1).

MSR-VTT, MSVD, DiDeMo, ActivityNet, LSMDC, VATEX, VALOR-32K, YouCook2.
"""

import math
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks import splits
from lb_jax.evaluation.benchmarks.layouts import annotations
from lb_jax.evaluation.benchmarks.layouts.files import Files, folder
from lb_jax.evaluation.benchmarks.layouts.reading import Reading, number, strings

# Longer videos were cut to 30 s when they were annotated (README of LisaAnne/LocalizingMoments);
# LanguageBind reads the seconds 0 to 31.
DIDEMO_END_S = 31.0
_BOTH = ("video", "audio")


def msrvtt(root: Path) -> splits.Split:
    """Reads MSR-VTT 1k-A: a caption each, videos and their sound.

    Columns and file names: `MSRVTT_JSFUSION_test.csv` of the JSFusion split, as CLIP4Clip and
    LanguageBind `vl_ret/` read it. Videos lie anywhere below `videos/`, as the archive unpacks
    (`videos/all/video7010.mp4`), or below LanguageBind's `MSRVTT_Videos/`. Sound comes from
    `audio/` where there is such a folder, otherwise out of the videos; some have none.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    rows = annotations.table(root / "MSRVTT_JSFUSION_test.csv", ("video_id", "sentence"))
    for where, row in rows:
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
        elif reading.is_named(row["video_id"], where):
            reading.add(row["video_id"], where, texts=(row["sentence"],))
    videos = Files(root, "video", (folder(root, "videos", "MSRVTT_Videos"),))
    sounds = Files(root, "audio", ("audio",)) if (root / "audio").is_dir() else videos
    for id_ in reading.ids:
        reading.find("video", videos, id_)
        reading.find("audio", sounds, id_)
    reading.extras(*dict.fromkeys((videos, sounds)))
    return reading.split()


def msvd(root: Path) -> splits.Split:
    """Reads MSVD: all captions of each video, their words joined by spaces.

    `test_list.txt` and `raw-captions.pkl` (id -> list of lists of words) are those of
    collaborative-experts, as LanguageBind `vl_ret/dataloader_msvd_retrieval.py` reads them. Videos
    lie in `YouTubeClips/`, as the archive unpacks, or LanguageBind's `MSVD_Videos/`. The pickle is
    read without running what it may ask for.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    reading = Reading(root)
    captions = annotations.pickled(root / "raw-captions.pkl")
    for where, id_ in annotations.lines(root / "test_list.txt"):
        if not reading.is_named(id_, where):
            continue
        given = captions.get(id_, ())
        words = [strings(one) for one in given] if isinstance(given, list | tuple) else [None]
        if None in words:
            reading.bad_row(id_, f"{where}: its captions in raw-captions.pkl are no lists of words")
        else:
            reading.add(id_, where, texts=[" ".join(one) for one in words])
    return videos(reading, "YouTubeClips", "MSVD_Videos")


def didemo(root: Path) -> splits.Split:
    """Reads DiDeMo: the descriptions of a video as one text, its first 31 seconds.

    `test_data.json` is the official list of {"video", "description", ...}; `test_list.txt` names
    the videos as collaborative-experts does. Descriptions are joined by spaces in the order of the
    file, as in LanguageBind `vl_ret/dataloader_didemo_retrieval.py`. The official annotation names
    videos with an ending, which is left out. Videos lie below `videos/`.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    reading = Reading(root)
    rows, _ = annotations.json_value(root / "test_data.json", list)
    texts: dict[str, list[object]] = {}
    for place, row in enumerate(rows, 1):
        video = row.get("video") if isinstance(row, dict) else None
        if isinstance(video, str) and video:
            texts.setdefault(_stem(video), []).append(row.get("description"))
        else:
            reading.bad_row(f"entry {place} of test_data.json", "names no video")
    for where, name in annotations.lines(root / "test_list.txt"):
        id_ = _stem(name)
        if reading.is_named(id_, where):
            given = texts.get(id_, [])
            reading.add(id_, where, texts=_joined(given))
    ends_s = dict.fromkeys(reading.ids, DIDEMO_END_S)
    return videos(reading, "videos", modalities=_BOTH, ends_s=ends_s)


def activitynet(root: Path) -> splits.Split:
    """Reads ActivityNet Captions, first validation set: the sentences of a video as a paragraph.

    `val_1.json` is the official id -> {"duration", "sentences", ...}, `val_ids.json` the list of
    ids. The text and the end, `duration` rounded up, are those of LanguageBind
    `vl_ret/dataloader_activitynet_retrieval.py`. Videos are `v_<id>.*` below `Videos/` or
    `videos/`; the ids in the annotation begin with `v_` too.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    reading = Reading(root)
    ids, _ = annotations.json_value(root / "val_ids.json", list)
    rows, repeated = annotations.json_value(root / "val_1.json", dict)
    ends_s = {}
    for place, id_ in enumerate(ids, 1):
        where = f"entry {place} of val_ids.json"
        if not reading.is_named(id_, where):
            continue
        row = rows.get(id_)
        row = row if isinstance(row, dict) else {}
        duration_s = number(row.get("duration"))
        if not duration_s:
            reading.bad_row(id_, f"{where}: val_1.json has no duration of it above 0")
        elif reading.add(id_, where, texts=_joined(row.get("sentences"))):
            ends_s[id_] = float(math.ceil(duration_s))
            if id_ in repeated:
                reading.problem(
                    splits.DUPLICATE, id_, "val_1.json has it more than once; the first counts"
                )
    return videos(reading, "Videos", "videos", modalities=_BOTH, ends_s=ends_s)


def lsmdc(root: Path) -> splits.Split:
    """Reads LSMDC 2016: the public test of 1,000 clips, a sentence each.

    `LSMDC16_challenge_1000_publictect.csv` has no header and six cells with tabs between: clip,
    start and end aligned, start and end extracted, sentence (CLIP4Clip
    `dataloader_lsmdc_retrieval.py`). Clips are `<movie>/<clip>.avi` in `videos/` or in the data
    set's folder itself. CLIP4Clip leaves out `1012_Unbreakable_00.05.16.065-00.05.21.941`; this
    reader keeps all 1,000.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    path = root / "LSMDC16_challenge_1000_publictect.csv"
    for where, row in annotations.cells(path, "\t", quoted=False):
        if len(row) != 6:
            reading.bad_row(where, f"has {counted(len(row), 'cell')} with tabs between, expected 6")
        elif reading.is_named(row[0], where):
            reading.add(row[0], where, texts=(row[5].strip(),))
    return videos(reading, "videos", ".", modalities=_BOTH)


def valor32k(root: Path) -> splits.Split:
    """Reads VALOR-32K: a caption of sight and sound for each clip of ten seconds.

    `desc_test.json` is the official list of {"video_id", "desc"}, ids are
    `<youtube id>_<start>_<end>` (VALOR spec 2.5). Clips are cut already, `<id>.*` below `videos/`;
    sound comes out of them. The folder's name is ours: only the annotation is distributed.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    rows, _ = annotations.json_value(root / "desc_test.json", list)
    for place, row in enumerate(rows, 1):
        where = f"entry {place} of desc_test.json"
        if not isinstance(row, dict):
            reading.bad_row(where, f"is a {type(row).__name__}, expected an object")
        elif reading.is_named(row.get("video_id"), where):
            reading.add(row["video_id"], where, texts=(row.get("desc"),))
    return videos(reading, "videos", modalities=_BOTH)


def vatex(root: Path) -> splits.Split:
    """Reads the public test set of VATEX: ten English captions of each clip of ten seconds.

    `vatex_public_test_english_v1.1.json` is the official list of {"videoID", "enCap"}, ids are
    `<youtube id>_<start>_<end>` with the seconds in six digits. Clips are `<videoID>.*` below
    `videos/`; sound comes out of them. Which videos published retrieval is of is not said.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    rows, _ = annotations.json_value(root / "vatex_public_test_english_v1.1.json", list)
    for place, row in enumerate(rows, 1):
        where = f"entry {place} of vatex_public_test_english_v1.1.json"
        if not isinstance(row, dict):
            reading.bad_row(where, f"is a {type(row).__name__}, expected an object")
        elif reading.is_named(row.get("videoID"), where):
            reading.add(row["videoID"], where, texts=strings(row.get("enCap")) or ())
    return videos(reading, "videos", modalities=_BOTH)


def youcook2(root: Path) -> splits.Split:
    """Reads the validation set of YouCook2: a sentence for each step of a recipe.

    `youcookii_annotations_trainval.json` is the official {"database": {video: {"subset",
    "annotations": [{"id", "segment": [start, end], "sentence"}], ...}}}, in seconds. A step is an
    item, `<video>_<id>`. Videos are `<video>.*` anywhere below `raw_videos/` or `videos/`, as the
    official script downloads them (`raw_videos/validation/<recipe>/`); a part of them is gone
    from YouTube, so published results are of fewer steps than are annotated.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    path = root / "youcookii_annotations_trainval.json"
    value, _ = annotations.json_value(path, dict)
    database = value.get("database")
    if not isinstance(database, dict):
        raise errors.DataError(path, 'has no object "database"; give the official annotation')
    steps = {}
    for video, row in database.items():
        row = row if isinstance(row, dict) else {}
        if row.get("subset") != "validation" or not reading.is_named(video, path.name):
            continue
        for step in _rows(row, "annotations"):
            id_, segment = f"{video}_{step.get('id')}", step.get("segment")
            ends = [number(one) for one in segment] if isinstance(segment, list) else []
            where = f"step {step.get('id')} of {video} in {path.name}"
            match ends:
                case [float(start_s), float(end_s)] if start_s < end_s:
                    if reading.add(id_, where, texts=(step.get("sentence"),)):
                        steps[id_] = video, start_s, end_s
                case _:
                    reading.bad_row(
                        id_, f"{where}: its segment is {segment!r}, no two rising times"
                    )
    files = Files(root, "video", (folder(root, "raw_videos", "videos"),))
    reading.expect("video")
    for id_, (video, start_s, end_s) in steps.items():
        reading.find("video", files, id_, video, start_s=start_s, end_s=end_s)
    reading.extras(files)
    return reading.split()


def msrvtt_caption(root: Path) -> splits.Split:
    """Reads the test split of MSR-VTT for captioning: twenty captions of each video.

    `test_videodatainfo.json` or `MSRVTT_data.json` of the challenge: {"videos": [{"video_id",
    "split"}], "sentences": [{"video_id", "caption"}]}, of which the videos of the split "test"
    count. Videos lie below `videos/`; sound comes out of them, some have none.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    path = annotations.one_of(root, "test_videodatainfo.json", "MSRVTT_data.json")
    value, _ = annotations.json_value(path, dict)
    captions: dict[object, list[object]] = {}
    for row in _rows(value, "sentences"):
        captions.setdefault(row.get("video_id"), []).append(row.get("caption"))
    for place, row in enumerate(_rows(value, "videos"), 1):
        where = f"video {place} of {path.name}"
        id_ = row.get("video_id")
        if row.get("split") == "test" and reading.is_named(id_, where):
            reading.add(id_, where, texts=captions.get(id_, ()))
    return videos(reading, "videos", modalities=_BOTH)


def _rows(value: dict, key: str) -> list[dict]:
    rows = value.get(key)
    return [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []


def videos(
    reading: Reading,
    *folders: str,
    modalities: tuple[str, ...] = ("video",),
    ends_s: dict[str, float] | None = None,
) -> splits.Split:
    """Finds the video of every item below the first folder that is there."""
    files = Files(reading.root, "video", (folder(reading.root, *folders),))
    for modality in modalities:
        reading.expect(modality)
        for id_ in reading.ids:
            reading.find(modality, files, id_, end_s=(ends_s or {}).get(id_))
    reading.extras(files)
    return reading.split()


def _joined(sentences: object) -> list[object]:
    """One text of several; what is no list of texts, or has an empty one, stays unusable."""
    texts = strings(sentences)
    return [" ".join(texts)] if texts and all(one.strip() for one in texts) else []


def _stem(name: str) -> str:
    """A video's name without its ending."""
    path = Path(name)
    endings = (*MODALITIES["video"].suffixes, ".3gp", ".mpg", ".mpeg", ".wmv", ".flv", ".mts")
    return name[: -len(path.suffix)] if path.suffix.lower() in endings else name

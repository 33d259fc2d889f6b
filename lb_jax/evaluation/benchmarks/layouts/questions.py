"""Videos with questions: MSRVTT-QA, MSVD-QA, TGIF-QA, ActivityNet-QA, MUSIC-AVQA.

Answers are compared as they are written in the annotation. A question that comes twice, or that
cannot be used, is left out by its own name; its item stays.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from lb_jax.evaluation.benchmarks import splits
from lb_jax.evaluation.benchmarks.layouts import annotations, video_text
from lb_jax.evaluation.benchmarks.layouts.files import is_text
from lb_jax.evaluation.benchmarks.layouts.reading import Reading, strings

# where it stands, its item, its own number or name, the question, the answer
_Asked = tuple[str, object, object, object, object]


def msrvtt_qa(root: Path) -> splits.Split:
    """Reads the test questions of MSRVTT-QA.

    `test_qa.json` is the official list of {"id", "video_id", "question", "answer"} with numbers for
    videos, which are `video<number>.*` below `videos/`; sound comes out of them, some have none.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    rows = _objects(reading, root / "test_qa.json")
    _add(
        reading,
        (
            (where, _numbered(row, "video"), row.get("id"), row.get("question"), row.get("answer"))
            for where, row in rows
        ),
    )
    return video_text.videos(reading, "videos", modalities=("video", "audio"))


def msvd_qa(root: Path) -> splits.Split:
    """Reads the test questions of MSVD-QA.

    `test_qa.json` as of MSRVTT-QA; `youtube_mapping.txt` says which clip a number is: `<clip>
    vid<number>` a line. Clips lie below `YouTubeClips/` or `MSVD_Videos/`.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    reading = Reading(root)
    clips = {}
    for where, line in annotations.lines(root / "youtube_mapping.txt"):
        parts = line.split()
        if len(parts) == 2:
            clips[parts[1]] = parts[0]
        else:
            reading.bad_row(where, f"expected a clip and vid<number>, found {line[:80]!r}")
    rows = _objects(reading, root / "test_qa.json")
    _add(
        reading,
        (
            (
                where,
                clips.get(_numbered(row, "vid")),
                row.get("id"),
                row.get("question"),
                row.get("answer"),
            )
            for where, row in rows
        ),
    )
    return video_text.videos(reading, "YouTubeClips", "MSVD_Videos")


def tgif_qa(root: Path) -> splits.Split:
    """Reads the test questions about single frames of TGIF-QA.

    `Test_frameqa_question.csv` has tabs between its columns, gif_name, question and answer among
    them. Animations are `<gif_name>.*` below `gifs/` or `videos/`, as films: a .gif is converted
    first.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    columns = ("gif_name", "question", "answer")
    asked = []
    for where, row in annotations.table(root / "Test_frameqa_question.csv", columns, "\t"):
        if row is None:
            reading.bad_row(where, "has not as many cells as the header")
        else:
            asked.append((where, row["gif_name"], where, row["question"], row["answer"]))
    _add(reading, asked)
    return video_text.videos(reading, "gifs", "videos")


def activitynet_qa(root: Path) -> splits.Split:
    """Reads the test questions of ActivityNet-QA.

    `test_q.json` is the official list of {"video_name", "question", "question_id"}, `test_a.json`
    that of {"answer", "question_id"}. Videos are `v_<video_name>.*` below `videos/` or `Videos/`.

    Raises:
      errors.DataError: an annotation is absent or unreadable.
    """
    reading = Reading(root)
    answers = {
        row.get("question_id"): row.get("answer")
        for _, row in _objects(reading, root / "test_a.json")
    }
    asked = []
    for where, row in _objects(reading, root / "test_q.json"):
        name, key = row.get("video_name"), row.get("question_id")
        video = f"v_{name}" if isinstance(name, str) else name
        asked.append((where, video, key, row.get("question"), answers.get(key)))
    _add(reading, asked)
    return video_text.videos(reading, "videos", "Videos")


def music_avqa(root: Path) -> splits.Split:
    """Reads the test questions of MUSIC-AVQA, about what is seen and heard.

    `avqa-test.json` is the official list of {"video_id", "question_id", "question_content",
    "templ_values", "anser"}: the words of `templ_values`, a list as text, take the places that are
    written `<Object>` and the like. Videos are `<video_id>.*` below `videos/`; sound comes out of
    them.

    Raises:
      errors.DataError: the annotation is absent or unreadable.
    """
    reading = Reading(root)
    asked = []
    for where, row in _objects(reading, root / "avqa-test.json"):
        key = row.get("question_id")
        asked.append((where, row.get("video_id"), key, _filled(row), row.get("anser")))
    _add(reading, asked)
    return video_text.videos(reading, "videos", modalities=("video", "audio"))


def _filled(row: dict) -> str | None:
    """The question with its words in their places; None where they do not fit."""
    text, values = row.get("question_content"), row.get("templ_values", "[]")
    try:
        words = strings(json.loads(values)) if isinstance(values, str) else None
    except (ValueError, RecursionError):
        words = None
    if not isinstance(text, str) or words is None:
        return None
    parts = re.split(r"<[^<>]*>", text)
    if len(parts) != len(list(words)) + 1:
        return None
    return "".join(f"{part}{word}" for part, word in zip(parts, [*words, ""], strict=True))


def _objects(reading: Reading, path: Path) -> list[tuple[str, dict]]:
    """Where each object of a list stands, and the object."""
    rows, _ = annotations.json_value(path, list)
    found = []
    for place, row in enumerate(rows, 1):
        where = f"entry {place} of {path.name}"
        if isinstance(row, dict):
            found.append((where, row))
        else:
            reading.bad_row(where, f"is a {type(row).__name__}, expected an object")
    return found


def _numbered(row: dict, word: str) -> str | None:
    number = row.get("video_id")
    return f"{word}{number}" if isinstance(number, int) and not isinstance(number, bool) else None


def _add(reading: Reading, asked: Iterable[_Asked]) -> None:
    """Gathers the questions of each item, in the order of the annotation."""
    places: dict[str, str] = {}
    found: dict[str, list[splits.Question]] = {}
    seen: set[object] = set()
    for where, id_, key, question, answer in asked:
        if not isinstance(id_, str) or not reading.is_named(id_, where):
            if not isinstance(id_, str):
                reading.bad_row(where, "names no video that there is")
        elif isinstance(key, str | int) and key in seen:
            reading.problem(
                splits.DUPLICATE, id_, f"{where} has question {key} again; the first place counts"
            )
        elif not (_is_said(question) and _is_said(answer)):
            reading.bad_row(id_, f"{where}: has no question, or no answer, in words")
        else:
            seen.add(key)
            places.setdefault(id_, where)
            found.setdefault(id_, []).append(splits.Question(question, answer))
    for id_, questions in found.items():
        reading.add(id_, places[id_], questions=questions)


def _is_said(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip()) and is_text(text)

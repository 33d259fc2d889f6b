"""The annotation files of VALOR and of its data sets (spec 2.4, 2.5), as entries of one form.

ids.json          list of ids
txt_mapper.json   id -> caption, or captions; for questions a list of {question, answer[,
                  question_id, answer_weights, choice]}
desc_train.json   list of {video_id, desc}: VALOR-32K and VALOR-1M
references        {"annotations": [{video_id, caption}, …]}, or the list alone
"""

import collections
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.corpora import json_files

IDS, TEXTS = "ids.json", "txt_mapper.json"
ID_KEYS = ("video_id", "image_id")
CAPTION_KEYS = ("desc", "caption")
_EXPECTED = (
    'a list of ids, id -> caption(s) or questions, a list of {"video_id", "desc" or "caption"}, or '
    '{"annotations": that list}'
)
# How such a file begins: a list, or an object whose first value is a text or a list. A VIDAL
# annotation begins with an object in an object.
_BEGINS = re.compile(r'\ufeff?\s*(\[|\{\s*"(?:[^"\\]|\\.)*"\s*:\s*["\[])')
_HEAD = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What an item is asked or said to be.

    Attributes:
      id: of the item, also the name of its files.
      captions: all of them; empty for a question.
      question: empty for captions.
      answers: right ones, of a question; may be none in a test set.
      weights: of the answers, as many; 1 where the file says none.
      question_id: by which predictions are submitted; empty where the file has none.
      choice: answers to choose from; empty for an open question.
    """

    id: str
    captions: tuple[str, ...] = ()
    question: str = ""
    answers: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    question_id: str = ""
    choice: tuple[str, ...] = ()


def is_one(path: Path) -> bool:
    """Whether a file begins as one of these, or a folder holds ids and texts."""
    if path.is_dir():
        return (path / IDS).is_file() and (path / TEXTS).is_file()
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open(encoding="utf-8") as file:
            return _BEGINS.match(file.read(_HEAD)) is not None
    except (OSError, UnicodeDecodeError):  # told by who reads it
        return False


def read(path: Path) -> list[Entry]:
    """Reads the entries of a file or folder: an item with its captions, or one question.

    Items come in the order of the ids, or of the file where it is the only one.

    Raises:
      errors.DataError: unreadable, of another form, an entry without id or text, an id without
        texts, an id that comes twice; in one line, with the place.
    """
    if path.is_dir():
        return _of_ids(path / IDS, path / TEXTS)
    found = json_files.load(path, _EXPECTED)
    if isinstance(found, list) and found and all(isinstance(one, str) for one in found):
        return _of_ids(path, path.parent / TEXTS)
    return list(_entries(path, found))


def read_references(path: Path) -> dict[str, tuple[str, ...]]:
    """Reads reference captions: id -> all that the file has of it, in its order.

    Raises:
      errors.DataError: as `read`, or the file holds questions.
    """
    entries = read(Path(path))
    if asked := next((one for one in entries if one.question), None):
        raise errors.DataError(
            path, f"holds questions ({asked.id}: {asked.question[:40]!r}), expected captions"
        )
    return {entry.id: entry.captions for entry in entries}


def _of_ids(ids: Path, texts: Path) -> list[Entry]:
    named = json_files.load(ids, "a list of ids")
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise errors.DataError(ids, f"holds {_kind(named)}, expected a list of ids as text")
    if twice := [one for one, count in collections.Counter(named).items() if count > 1]:
        raise errors.DataError(
            ids, f"has {twice[0]!r} twice ({counted(len(twice), 'id')} so); keep one of each"
        )
    by_id = collections.defaultdict(list)
    for entry in _entries(texts, json_files.load(texts, _EXPECTED)):
        by_id[entry.id].append(entry)
    if lacking := [one for one in named if one not in by_id]:
        raise errors.DataError(
            texts,
            f"has no text of {lacking[0]!r}, which {ids.name} names ({len(lacking)} of "
            f"{counted(len(named), 'id')} so); add it, or take it out of {ids.name}",
        )
    return [entry for one in named for entry in by_id[one]]


def _entries(path: Path, found: Any) -> Iterator[Entry]:
    if isinstance(found, Mapping) and isinstance(found.get("annotations"), list):
        found = found["annotations"]
    if not found or not isinstance(found, list | dict):
        raise errors.DataError(path, f"holds {_kind(found)}; expected {_EXPECTED}")
    if isinstance(found, list):
        yield from _listed(path, found)
        return
    for name, value in found.items():
        where = f"{path}: {name}"
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(one, dict) for one in values):
            for number, one in enumerate(values):
                yield _question(f"{where}, question {number}", name, one)
        else:
            yield Entry(name, tuple(_caption(where, one) for one in values or [value]))


def _listed(path: Path, rows: Sequence[Any]) -> Iterator[Entry]:
    """Captions of a list, those of an item together, in the order in which items first come."""
    by_id: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        where = f"{path}: entry {number}"
        if not isinstance(row, dict):
            raise errors.DataError(where, f"is {_kind(row)}; expected {_EXPECTED}")
        name = next((row[key] for key in ID_KEYS if key in row), None)
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise errors.DataError(
                where, f"has no {' or '.join(ID_KEYS)} (it has {', '.join(row)}); add the id"
            )
        text = next((row[key] for key in CAPTION_KEYS if key in row), None)
        by_id.setdefault(str(name), []).append(_caption(f"{where} ({name})", text))
    for name, texts in by_id.items():
        yield Entry(name, tuple(texts))


def _caption(where: str, text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        found = repr(text) if isinstance(text, str) else _kind(text)
        raise errors.DataError(where, f"has no caption (found {found}); fill it in or drop it")
    return text.strip()


def _question(where: str, name: str, fields: Mapping[str, Any]) -> Entry:
    question = fields.get("question")
    if not isinstance(question, str) or not question.strip():
        raise errors.DataError(
            where, f"has no text (found {question!r} under question); fill it in or drop it"
        )
    given = fields.get("answer")
    answers = _texts(where, "answer", given)
    weights = fields.get("answer_weights") or (1.0,) * len(answers)
    is_right = isinstance(weights, list | tuple) and len(weights) == len(answers)
    if not is_right or not all(isinstance(one, int | float) for one in weights):
        raise errors.DataError(
            where,
            f"has {counted(len(answers), 'answer')} and answer_weights {weights!r}; expected a "
            "number for each",
        )
    return Entry(
        name,
        question=question.strip(),
        answers=answers,
        weights=tuple(map(float, weights)),
        question_id=str(fields.get("question_id", "")),
        choice=_texts(where, "choice", fields.get("choice")),
    )


def _texts(where: str, key: str, value: Any) -> tuple[str, ...]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one.strip() for one in values):
        raise errors.DataError(where, f"has {value!r} under {key}; expected text, or a list of it")
    return tuple(one.strip() for one in values)


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return type(value).__name__

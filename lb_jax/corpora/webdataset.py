"""Samples in tar shards, as WebDataset packs them: members of one sample share their name.

The name ends at the first dot of the file's name; what follows says what the member is, see
`MEMBERS`. The headers are read once, the contents when a row asks for them, at their place in the
shard.
"""

import array
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import captions, tar, vidal
from lb_jax.corpora.rows import Ref, Row

_KINDS = (*captions.TEXT_KINDS, *captions.FRAME_KINDS)
_SUFFIXES = {name: "|".join(s[1:] for s in m.suffixes) for name, m in MODALITIES.items()}
_JSON = "json"
_JSON_TRIES = 1000  # that cannot be read, before none are expected to
# What follows a sample's name -> the modality or caption kind that it is. Group 1 is its frame.
# The first match counts. LanguageBind spec 8.7, then what is usual elsewhere.
MEMBERS = (
    (re.compile(rf"frm(\d{{1,6}})\.(?:{_SUFFIXES['image']})"), "image"),
    (re.compile(rf"tml(\d{{1,6}})\.(?:{_SUFFIXES['thermal']})"), "thermal"),
    (re.compile(rf"dep(\d{{1,6}})\.(?:npy|{_SUFFIXES['depth']})"), "depth"),
    *((re.compile(rf"ofa{k}\.txt"), kind) for kind, k in captions.FRAME_KINDS.items()),
    *((re.compile(rf"{kind}\.txt"), kind) for kind in _KINDS),
    (re.compile("txt"), "caption"),
    (re.compile("json"), _JSON),
    *((re.compile(rf"{name}\.(?:{s})"), name) for name, s in _SUFFIXES.items()),
    *((re.compile(_SUFFIXES[name]), name) for name in ("image", "video", "audio")),
)
_READABLE = "jpg, mp4, wav, txt, json, frm0.jpg, tml0.jpg, dep0.npy, raw.txt, depth.png, ..."
# Stills of one sample that also are its clip, where none has a video.
_STILLS = "image"
# Before most captions of this kind (spec 5.6).
_PREFIXES = {"polish_mplug": "In the video, "}
_BRACES = re.compile(r"\{([^{}]*)\}")


class WebDataset:
    """The samples of tar shards.

    A row's id is `<shard>/<name of the sample>`, so names may come again in other shards. Several
    stills of a sample are its frames, and its clip if no sample has a video. Captions of a `.txt`
    come before those in the sample's `.json`. Members of other endings and hidden ones are left
    out.

    Args:
      path: a `.tar`, a folder of them, or a pattern such as `train-{000..003}.tar`.

    Raises:
      errors.DataError: missing, damaged or empty shard, a member that leads out of it (see
        `tar.members`), a sample with two members of one name, no member that can be read.
      errors.ConfigError: malformed pattern.
    """

    def __init__(self, path: str | Path):
        self.where = str(path)
        paths = shards(Path(path))
        above = os.path.commonpath([one.parent for one in paths])
        self._prefixes = [os.path.relpath(one.with_suffix(""), above) for one in paths]
        self._shards = [_Shard.opened(one) for one in paths]
        self._index = _Index(paths)
        if not len(self._index):
            found = ", ".join(sorted(self._index.unread)) or "no files"
            raise errors.DataError(path, f"holds {found}; expected members that end in {_READABLE}")
        given = {meaning.what for meaning in self._index.meanings}
        several = any(m.what == _STILLS and m.frame for m in self._index.meanings)
        self._stills_are_clip = several and "video" not in given
        given |= {"video"} if self._stills_are_clip else set()
        given |= self._json_kinds() if _JSON in given else set()
        self.modalities = tuple(name for name in MODALITIES if name in given)
        self.text_kinds = tuple(kind for kind in _KINDS if kind in given)

    def __len__(self) -> int:
        return len(self._index)

    def having(self, modality: str) -> np.ndarray:
        """Numbers of the samples that carry a modality, int64, rising."""
        carrier = _STILLS if modality == "video" and self._stills_are_clip else modality
        counts = self._index.counts(carrier)
        return np.flatnonzero(counts > (1 if carrier != modality else 0))

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`, by what some sample has: another may still lack it."""
        captions.require_kinds(kinds)
        if lacking := captions.lacking(self.text_kinds, kinds):
            has = ", ".join(self.text_kinds) or "no captions"
            raise errors.DataError(
                self.where,
                f"lacks {', '.join(lacking)}; its samples have {has}. Train on another kind",
            )

    def __getitem__(self, index: int) -> Row:
        number, name, members = self._index[index]
        row = f"{self._prefixes[number]}/{name}"
        media: dict[str, list[_Member]] = {}
        texts: list[_Member] = []
        for member in members:
            modality = member.meaning.what in MODALITIES
            (media.setdefault(member.meaning.what, []) if modality else texts).append(member)
        shard = self._shards[number]
        if not media:
            has = ", ".join(member.meaning.ending for member in texts)
            raise errors.DataError(row, f"has no media among its members ({has}); drop it")
        places = {name: _in_order(row, name, found) for name, found in media.items()}
        if self._stills_are_clip and len(places.get(_STILLS, ())) > 1:
            places["video"] = (places[_STILLS],)
        captions_read = _texts(row, texts, shard.read([(m.offset, m.size) for m in texts]))
        return Row(row, captions_read, _Media(shard, places))

    def _json_kinds(self) -> set[str]:
        """Caption kinds in the first `.json` that can be read; another spoils its row only."""
        for index in np.flatnonzero(self._index.counts(_JSON))[:_JSON_TRIES]:
            number, name, members = self._index[index]
            found = [m for m in members if m.meaning.what == _JSON]
            contents = self._shards[number].read([(m.offset, m.size) for m in found])
            try:
                return set(_texts(f"{self._prefixes[number]}/{name}", found, contents))
            except errors.DataError:
                continue
        return set()


@dataclasses.dataclass(frozen=True)
class _Meaning:
    """What members of one ending are: a modality, a caption kind or `_JSON`, of which frame."""

    ending: str
    what: str
    frame: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    meaning: _Meaning
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class _Shard:
    """An archive as it was when its headers were read: size and time of its last change."""

    path: Path
    stamp: tuple[int, int]

    @classmethod
    def opened(cls, path: Path) -> "_Shard":
        try:
            status = path.stat()
        except OSError as e:
            raise errors.DataError(path, f"cannot be read ({e.strerror}); expected a shard") from e
        return cls(path, (status.st_size, status.st_mtime_ns))

    def read(self, places: Iterable[tuple[int, int]]) -> list[bytes]:
        """The bytes at some (offset, size)."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if (status.st_size, status.st_mtime_ns) != self.stamp:
                    raise errors.DataError(
                        self.path, "has changed since this run opened it; leave it and start again"
                    )
                contents = []
                for offset, size in places:
                    file.seek(offset)
                    contents.append(file.read(size))
                return contents
        except OSError as e:
            raise errors.DataError(
                self.path, f"cannot be read ({e.strerror}); expected a shard"
            ) from e


class _Media(Mapping[str, tuple[Ref, ...]]):
    """The media of a sample, read from the shard when asked for."""

    def __init__(self, shard: _Shard, places: Mapping[str, tuple]):
        self._shard, self._places = shard, places

    def __getitem__(self, modality: str) -> tuple[Ref, ...]:
        places = self._places[modality]
        if isinstance(places[0][0], tuple):  # the stills of a clip
            return (tuple(self._shard.read(places[0])),)
        return tuple(self._shard.read(places))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class _Index:
    """Which samples there are and where their members lie, some 20 bytes for each member.

    Attributes:
      meanings: of the endings there are.
      unread: some endings of members that are left out.
    """

    def __init__(self, paths: list[Path]):
        self.meanings: list[_Meaning] = []
        self.unread: set[str] = set()
        self._known: dict[str, int | None] = {}
        names: list[pa.Array] = []
        shard, starts = array.array("i"), array.array("q", [0])
        code, offset, size = array.array("i"), array.array("q"), array.array("q")
        for number, path in enumerate(paths):
            samples = self._samples(path)
            for members in samples.values():
                shard.append(number)
                code.extend(members)
                offset.extend(place[0] for place in members.values())
                size.extend(place[1] for place in members.values())
                starts.append(len(code))
            names.append(pa.array(samples, pa.string()))
        self._names = pa.chunked_array(names, pa.string())
        self._shard, self._starts, self._code, self._offset, self._size = (
            np.array(values) for values in (shard, starts, code, offset, size)
        )

    def __len__(self) -> int:
        return len(self._shard)

    def __getitem__(self, index: int) -> tuple[int, str, list[_Member]]:
        """The shard, name and members of a sample."""
        start, end = self._starts[index : index + 2]
        columns = (column[start:end].tolist() for column in (self._code, self._offset, self._size))
        members = [
            _Member(self.meanings[code], at, n) for code, at, n in zip(*columns, strict=True)
        ]
        return int(self._shard[index]), self._names[index].as_py(), members

    def counts(self, what: str) -> np.ndarray:
        """Members of this kind in every sample."""
        codes = [code for code, meaning in enumerate(self.meanings) if meaning.what == what]
        found = np.concatenate([[0], np.cumsum(np.isin(self._code, codes))])
        return np.diff(found[self._starts])

    def _samples(self, path: Path) -> dict[str, dict[int, tuple[int, int]]]:
        """Name of the sample -> code of the ending -> place in the shard."""
        samples: dict[str, dict[int, tuple[int, int]]] = {}
        for name, offset, size in tar.members(path):
            folder, slash, file = name.rpartition("/")
            stem, _, ending = file.partition(".")
            code = self._code_of(ending.lower()) if stem else None
            if code is None:
                continue
            members = samples.setdefault(folder + slash + stem, {})
            if code in members:
                raise errors.DataError(path, f"holds {name!r} twice; keep one of them")
            members[code] = offset, size
        return samples

    def _code_of(self, ending: str) -> int | None:
        if ending not in self._known:
            meaning = _meaning(ending)
            if meaning is None and len(self.unread) < 8:
                self.unread.add(f".{ending}" if ending else "files without ending")
            if meaning is None:
                return None
            self._known[ending] = len(self.meanings)
            self.meanings.append(meaning)
        return self._known[ending]


def _meaning(ending: str) -> _Meaning | None:
    for pattern, what in MEMBERS:
        if match := pattern.fullmatch(ending):
            return _Meaning(ending, what, int(match[1]) if match.groups() else None)
    return None


def _in_order(row: str, modality: str, members: list[_Member]) -> tuple[tuple[int, int], ...]:
    """The places of a modality's members, after checking that they are one file or all frames."""
    if len(members) > 1:
        members = sorted(members, key=lambda member: member.meaning.frame or 0)
        if [member.meaning.frame for member in members] != list(range(len(members))):
            has = ", ".join(member.meaning.ending for member in members)
            raise errors.DataError(
                row,
                f"has {has} for {modality}; expected one file, or frames from 0 on without gaps",
            )
    return tuple((member.offset, member.size) for member in members)


def _texts(
    row: str, members: list[_Member], contents: list[bytes]
) -> dict[str, str | tuple[str, ...]]:
    plain, fields = {}, {}
    for member, content in zip(members, contents, strict=True):
        where, kind = f"{row}.{member.meaning.ending}", member.meaning.what
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as e:
            raise errors.DataError(where, f"is not UTF-8 text at byte {e.start}; mend it") from e
        if kind == _JSON:
            fields = _json_texts(where, text)
        elif text.strip():
            plain[kind] = text.removeprefix(_PREFIXES.get(kind, ""))
    return fields | plain


def _json_texts(where: str, text: str) -> dict[str, str | tuple[str, ...]]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise errors.DataError(where, f"is no JSON ({e}); mend it") from e
    if not isinstance(fields, dict):
        raise errors.DataError(where, f"holds a {type(fields).__name__}, expected an object")
    return {
        kind: vidal.stored(where, kind, fields[kind])
        for kind in captions.TEXT_KINDS
        if fields.get(kind) not in (None, "", [])
    }


def shards(path: Path) -> list[Path]:
    """The archives that a path, folder or pattern stands for, in their order.

    Raises:
      DataError: one does not exist, or the folder has none.
      ConfigError: braces that are no pattern.
    """
    if path.is_dir():
        found = sorted(one for one in path.glob("*.tar") if not one.name.startswith("."))
        if not found:
            raise errors.DataError(path, "holds no .tar; expected shards")
        return found
    if path.exists() or not is_pattern(path):
        return [path]
    found = []
    for one in map(Path, _expanded(str(path))):
        if not one.exists():
            raise errors.DataError(one, f"does not exist; the pattern {path} names it")
        found.append(one)
    return found


def is_pattern(path: Path) -> bool:
    """Whether a path names several shards by braces."""
    return path.suffix == ".tar" and _BRACES.search(str(path)) is not None


def _expanded(pattern: str) -> Iterator[str]:
    """Every text that a pattern with `{000..003}` or `{a,b}` stands for."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if ends and int(ends[1]) <= int(ends[2]):
        width = len(ends[1]) if ends[1].startswith("0") else 0
        choices = (f"{number:0{width}d}" for number in range(int(ends[1]), int(ends[2]) + 1))
    elif "," in match[1]:
        choices = iter(match[1].split(","))
    else:
        raise errors.ConfigError(
            f"{pattern}: {match[0]} is no pattern; expected {{000..003}} or {{a,b}}."
        )
    for choice in choices:
        yield from _expanded(pattern[: match.start()] + choice + pattern[match.end() :])

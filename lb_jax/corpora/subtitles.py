"""Subtitle files, SubRip (srt) and WebVTT (vtt): what is said, and when.

One strict reader for both, as both are blocks between empty lines with a line of times in each.
Players pass over a block that they do not understand; here it would be a sentence that is lost
without a word, so it is an error with its line.
"""

import bisect
import codecs
import dataclasses
import html
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from lb_jax.core import errors

# Rolling captions and two speakers overlap by one or two; what has more is no narration.
MOST_AT_ONCE = 8
ARROW = "-->"


@dataclasses.dataclass(frozen=True)
class Narrations:
    """What is said in a film, in the order of time.

    Attributes:
      starts_s, ends_s: when, seconds from where the film begins.
      texts: what; none is empty.
    """

    starts_s: tuple[float, ...] = ()
    ends_s: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def read(self) -> "Narrations":
        """Themselves: they are read already."""
        return self


@dataclasses.dataclass(frozen=True)
class Files:
    """Where the narrations of a film lie: one subtitle file, or none."""

    paths: tuple[Path, ...] = ()

    def read(self) -> Narrations:
        """What is said in it.

        Raises:
          errors.DataError: as `read`, or there are several files.
        """
        if len(self.paths) > 1:
            others = ", ".join(one.name for one in self.paths[1:])
            raise errors.DataError(
                self.paths[0],
                f"is one of several subtitles of a film (the others: {others}); "
                "keep one, or name it in a manifest",
            )
        return read(self.paths[0]) if self.paths else Narrations()


def read(path: str | Path) -> Narrations:
    """Reads a subtitle file; its ending, a key of `FORMATS`, says how.

    Tags are left out, line breaks are spaces, subtitles without a text are none.

    Raises:
      errors.DataError: unreadable, not UTF-8, no subtitles, another ending; with its line a block
        without times, times that run backwards, too many at a time.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise errors.DataError(
            path, f"ends in {path.suffix or 'nothing'}; expected subtitles, {' or '.join(FORMATS)}"
        )
    form = FORMATS[path.suffix.lower()]
    blocks = _blocks(_text(path))
    if form.header or not blocks:
        if not blocks or blocks[0][0] != 1 or not re.match(form.header, blocks[0][1][0]):
            raise errors.DataError(path, f"holds no subtitles; expected {form.expected}")
        blocks[:1] = _cues(*blocks[0], begin=1)
    lines: list[int] = []
    told: list[tuple[float, float, str]] = []
    if form.passed is not None:
        blocks = [
            cue
            for line, block in blocks
            for cue in (_cues(line, block) if re.match(form.passed, block[0]) else [(line, block)])
        ]
    for line, block in blocks:
        at, times = _times(path, form, line, block)
        if text := form.plain(" ".join(block[at + 1 :])):
            lines.append(line + at)
            told.append((*times, text))
    return checked(path, told, lambda number: f"line {lines[number]}")


def checked(
    name: str | Path,
    told: Iterable[tuple[float, float, str]],
    place: Callable[[int], str] = lambda number: f"narration {number}",
) -> Narrations:
    """Narrations of begin, end and text, after checking that the times can be.

    Args:
      name: how errors call where they come from.
      told: begin and end in seconds, and the text; those of no text are left out.
      place: number of one, from 0 -> how errors say where it stands.

    Raises:
      errors.DataError: a time that is none, an end before its begin, a begin before the one of the
        narration above, more than `MOST_AT_ONCE` at a time.
    """
    kept, before_s = [], 0.0
    going: list[float] = []  # ends of those that are being said, sorted
    for number, (start_s, end_s, text) in enumerate(told):
        where = f"{name}: {place(number)}"
        if not (0 <= start_s < math.inf and 0 <= end_s < math.inf):
            raise errors.DataError(
                where, f"lasts from {start_s:g} to {end_s:g} s; expected seconds from 0 on"
            )
        if end_s < start_s:
            raise errors.DataError(
                where, f"ends at {end_s:g} s, before it begins at {start_s:g} s; mend its times"
            )
        if start_s < before_s:
            raise errors.DataError(
                where,
                f"begins at {start_s:g} s, before the one above it at {before_s:g} s; times run "
                "backwards, sort or mend them",
            )
        before_s = start_s
        del going[: bisect.bisect_right(going, start_s)]
        bisect.insort(going, end_s)
        if len(going) > MOST_AT_ONCE:
            raise errors.DataError(
                where,
                f"is one of {len(going)} that are said at {start_s:g} s; expected at most "
                f"{MOST_AT_ONCE} at a time. Mend the times, they may be of another unit",
            )
        if text := " ".join(text.split()):
            kept.append((float(start_s), float(end_s), text))
    return Narrations(*map(tuple, zip(*kept, strict=True))) if kept else Narrations()


@dataclasses.dataclass(frozen=True)
class Format:
    """How subtitles of one kind are written.

    Attributes:
      times: the line of times; groups hours, minutes, seconds, thousandths, twice.
      expected: how that line looks, or the file, for errors.
      plain: text of a subtitle -> without tags.
      header: what the first line begins with; empty for no header.
      passed: first lines of blocks that are no subtitles.
    """

    times: re.Pattern[str]
    expected: str
    plain: Callable[[str], str]
    header: str = ""
    passed: str | None = None


def _clock(hours: str, separator: str) -> str:
    return rf"{hours}(\d{{1,2}}):(\d{{1,2}}){separator}(\d{{1,3}})"


def _line(hours: str, separator: str) -> re.Pattern[str]:
    """A line of two times; what follows them tells where on the screen the text stands."""
    one = _clock(hours, separator)
    return re.compile(rf"\s*{one}\s*{ARROW}\s*{one}(?:\s.*)?")


_SRT_TAG = re.compile(r"</?(?:b|i|u|s|font)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_VTT_TAG = re.compile(r"<[^<>]*>")
FORMATS = {
    ".vtt": Format(
        _line(r"(?:(\d{1,4}):)?", r"\."),
        "'WEBVTT' in its first line, then blocks of times such as 00:01.000 --> 00:02.500",
        lambda text: html.unescape(_VTT_TAG.sub("", text)).strip(),
        header=r"WEBVTT(?:[ \t]|$)",
        passed=r"(?:NOTE|STYLE|REGION)(?:[ \t]|$)",
    ),
    ".srt": Format(
        _line(r"(\d{1,4}):", "[,.]"),
        "blocks of a number, times such as 00:00:01,000 --> 00:00:02,500, and text",
        lambda text: _SRT_TAG.sub("", text).strip(),
    ),
}


def _cues(line: int, block: list[str], begin: int = 0) -> list[tuple[int, list[str]]]:
    """The subtitle that a header or remark ends in, if any.

    Neither can hold an arrow: WebVTT's own parser ends them at a line with one, which begins a
    subtitle without an empty line before it.

    Args:
      line: number of the block's first.
      block: its lines.
      begin: the first of them that may have an arrow.
    """
    for at in range(begin, len(block)):
        if ARROW in block[at]:
            return [(line + at, block[at:])]
    return []


def _times(
    path: Path, form: Format, line: int, block: list[str]
) -> tuple[int, tuple[float, float]]:
    """Place of the line of times in a block, and begin and end in seconds."""
    at = next((number for number, text in enumerate(block[:2]) if ARROW in text), 0)
    later = next((number for number in range(at + 1, len(block)) if ARROW in block[number]), None)
    if later is not None:
        raise errors.DataError(
            f"{path}: line {line + later}", "has times within a text; put an empty line before it"
        )
    match = form.times.fullmatch(block[at])
    parts = [int(part or 0) for part in match.groups()[:3] + match.groups()[4:7]] if match else []
    if match is None or max(*parts[1:3], *parts[4:]) > 59:
        shown = block[at] if len(block[at]) <= 40 else f"{block[at][:40]}..."
        raise errors.DataError(
            f"{path}: line {line + at}", f"is {shown!r}; expected {form.expected}"
        )
    first, second = ([*match.groups()[place : place + 4]] for place in (0, 4))
    return at, (_seconds(*first), _seconds(*second))


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int(fraction.ljust(3, "0"))) / 1000


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected subtitles") from e
    code = "utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = content.decode(code)
    except UnicodeDecodeError as e:
        told = f"is not {code[:6].rstrip('-').upper()} text at byte {e.start}"
        raise errors.DataError(path, f"{told}; expected subtitles in UTF-8") from e
    if "\0" in text:
        raise errors.DataError(path, "holds zero bytes; expected subtitles, which are text")
    return text


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Lines between empty ones, with the number of their first from 1 on."""
    blocks: list[tuple[int, list[str]]] = []
    is_open = False
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip() and not is_open:
            blocks.append((number, []))
        if is_open := bool(line.strip()):
            blocks[-1][1].append(line)
    return blocks

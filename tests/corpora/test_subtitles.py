"""Subtitle files: what is said and when, and a line for each that cannot be."""

import pytest

from lb_jax.core import errors
from lb_jax.corpora import subtitles

VTT = """WEBVTT - made by hand
Kind: captions

NOTE a remark
of two lines

STYLE
::cue { color: red }

1
00:01.000 --> 00:02.500 align:start position:0%
<v Ann>Cut the <c.yellow>bread</c> &amp;
spread <00:00:02.000>it

01:00:03.000 --> 01:00:04.2

1:00:04.250 --> 1:00:09.000
Eat.
"""
SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Cut</i> the {\\an8}bread,
then 2 < 3

2
0:00:02.000 --> 0:00:04,5  X1:40 Y1:20
Spread it & <font color="red">eat</font>

3
00:00:05,000 --> 00:00:06,000

4
00:00:06,000 --> 00:00:06,000
12
"""


def _written(tmp_path, text, name):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tmp_path / name


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
def test_subtitles_are_times_and_plain_texts(tmp_path, end, code):
    read = subtitles.read(_written(tmp_path, VTT.replace("\n", end).encode(code), "a.vtt"))
    assert read == subtitles.Narrations(
        (1.0, 3604.25), (2.5, 3609.0), ("Cut the bread & spread it", "Eat.")
    )
    read = subtitles.read(_written(tmp_path, SRT.replace("\n", end).encode(code), "a.SRT"))
    assert read.starts_s == (1.0, 2.0, 6.0)
    assert read.ends_s == (2.5, 4.5, 6.0)
    assert read.texts == ("Cut the bread, then 2 < 3", "Spread it & eat", "12")


@pytest.mark.parametrize(
    "before",
    [
        "WEBVTT",
        "WEBVTT - made by hand\nKind: captions",
        "WEBVTT\n\nNOTE",
        "WEBVTT\n\nNOTE a remark\nof two lines",
        "WEBVTT\n\nSTYLE\n::cue { color: red }",
        "WEBVTT\n\nREGION\nid:fred",
    ],
)
def test_times_end_a_header_or_a_remark(tmp_path, before):
    text = f"{before}\n00:01.000 --> 00:02.000\nCut.\n\n00:03.000 --> 00:04.000\nEat.\n"
    read = subtitles.read(_written(tmp_path, text, "a.vtt"))
    assert read == subtitles.Narrations((1.0, 3.0), (2.0, 4.0), ("Cut.", "Eat."))


def test_a_film_in_which_nothing_is_said_has_no_narrations(tmp_path):
    assert subtitles.read(_written(tmp_path, "WEBVTT\n", "a.vtt")) == subtitles.Narrations()


def _srt(*times):
    return "\n".join(f"{n}\n{one}\ntext\n" for n, one in enumerate(times, 1))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.vtt", SRT, r"a\.vtt: holds no subtitles; expected 'WEBVTT' in its first line"),
        ("a.srt", VTT, r"a\.srt: line 1: is 'WEBVTT - made by hand'; expected blocks of a number"),
        ("a.srt", "", "holds no subtitles; expected blocks"),
        ("a.srt", "hello\nworld\n", "line 1: is 'hello'; expected blocks of a number, times"),
        ("a.srt", b"\xff\xd8\xff\xe0\x00\x10JFIF", "is not UTF-8 text at byte 0"),
        ("a.srt", b"1\n\x00\x00", "holds zero bytes"),
        ("a.txt", "x", r"ends in \.txt; expected subtitles, \.vtt or \.srt"),
        (
            "a.srt",
            _srt("00:00:05,000 --> 00:00:04,000"),
            "line 2: ends at 4 s, before it begins at 5 s",
        ),
        (
            "a.srt",
            _srt("00:00:05,000 --> 00:00:06,000", "00:00:03,000 --> 00:00:09,000"),
            "line 6: begins at 3 s, before the one above it at 5 s; times run backwards",
        ),
        (
            "a.srt",
            _srt(*["00:00:00,000 --> 09:00:00,000"] * 9),
            "line 34: is one of 9 that are said at 0 s; expected at most 8",
        ),
        ("a.srt", _srt("00:00:05,000 -> 00:00:06,000"), "line 1: is '1'; expected"),
        ("a.srt", _srt("00:00:65,000 --> 00:00:66,000"), "line 2: is '00:00:65,000"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:0a.000\nx", "line 3: is '00:01.000"),
        ("a.vtt", "WEBVTT\nKind: x\n00:01.000 --> 00:0a.000\nx", "line 3: is '00:01.000"),
        ("a.vtt", "WEBVTT\n\nNOTE a --> b\n", "line 3: is 'NOTE a --> b'; expected"),
        (
            "a.vtt",
            "WEBVTT\n00:01.000 --> 00:02.000\nx\n00:02.000 --> 00:03.000\ny",
            "line 4: has times within a text",
        ),
        (
            "a.srt",
            "1\n00:00:01,000 --> 00:00:02,000\n2\n00:00:02,000 --> 00:00:03,000\nx",
            "line 4: has times within a text; put an empty line before it",
        ),
    ],
)
def test_what_is_no_subtitles_is_one_line(tmp_path, name, text, reason):
    with pytest.raises(errors.DataError, match=reason) as caught:
        subtitles.read(_written(tmp_path, text, name))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(errors.DataError, match=r"a\.srt: cannot be read \(No such file"):
        subtitles.read(tmp_path / "a.srt")


def test_speakers_may_overlap():
    told = [(0.0, 4.0, "a"), (1.0, 3.0, "b"), (1.0, 9.0, "c"), (5.0, 6.0, " ")]
    assert subtitles.checked("x", told).texts == ("a", "b", "c")


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf")])
def test_times_are_seconds(time):
    with pytest.raises(errors.DataError, match=r"x: narration 1: lasts from .* seconds from 0 on"):
        subtitles.checked("x", [(0.0, 1.0, "a"), (1.0, time, "b")])

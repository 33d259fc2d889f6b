import csv
import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb_jax.core import errors
from lb_jax.corpora import captions, tables
from lb_jax.corpora.manifest import Manifest
from lb_jax.media.sensors.depth_units import Measured

ROWS = [
    {"id": "a", "video": "a.mp4", "audio": "s/a.wav", "caption": "a cat", "ofa_3": "its tail"},
    {"id": "b", "video": "", "audio": "b.wav", "caption": 'two\nlines, "quoted"', "ofa_3": ""},
    {"id": "", "video": "/far/c.mp4", "audio": "", "caption": " ", "ofa_3": "x"},
]


def write(path, rows):
    """Writes rows as the file's ending says."""
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pa.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fails(path, match, error=errors.DataError, needed=(), **arguments):
    with pytest.raises(error, match=match):
        Manifest(path, **arguments).require(needed)


@pytest.mark.parametrize("suffix", tables.FORMATS)
def test_rows_are_the_same_in_every_format(tmp_path, suffix):
    manifest = Manifest(write(tmp_path / f"m{suffix}", ROWS))
    assert manifest.modalities == ("video", "audio")
    assert manifest.text_kinds == ("caption", "ofa_3")
    first, second, third = (manifest[n] for n in range(len(manifest)))
    assert first.id == "a"
    assert first.media == {"video": (tmp_path / "a.mp4",), "audio": (tmp_path / "s/a.wav",)}
    assert first.texts == {"caption": "a cat", "ofa_3": "its tail"}
    assert second.media == {"audio": (tmp_path / "b.wav",)}
    assert second.texts == {"caption": 'two\nlines, "quoted"'}
    assert third.id == "2"
    assert third.media["video"][0].as_posix() == "/far/c.mp4"
    assert third.texts == {"ofa_3": "x"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_are_mapped(tmp_path, suffix):
    rows = [{"key": "k", "file": "x.jpg", "title": "a dog", "path": "y.wav"}]
    path = write(tmp_path / f"m{suffix}", rows)
    columns = {"id": "key", "path": "file", "raw": "title"}
    row = Manifest(path, "/data", columns, "thermal")[0]
    assert (row.id, dict(row.texts)) == ("k", {"raw": "a dog"})
    assert [p.as_posix() for p in row.media["thermal"]] == ["/data/x.jpg"]
    assert Manifest(path, modality="audio")[0].media == {"audio": (tmp_path / "y.wav",)}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_are_captions_and_frames(tmp_path, suffix):
    frames = [f"{k}.jpg" for k in range(8)]
    row = {"image": frames, "video": frames, "caption": ["a", "", "b"], "ofa": list("abcdefgh")}
    path = write(tmp_path / f"m{suffix}", [row, {**row, "caption": [], "ofa": ["a"]}])
    manifest = Manifest(path)
    paths = tuple(tmp_path / frame for frame in frames)
    assert manifest[0].media == {"image": paths, "video": (paths,)}
    assert manifest[0].texts == {"caption": ("a", "b"), "ofa": tuple("abcdefgh")}
    where = "line 2" if suffix == ".jsonl" else "row 1"
    with pytest.raises(errors.DataError, match=f"{where}: holds 1 caption under ofa, expected 8"):
        manifest[1]


@pytest.mark.parametrize(
    "of_text", [pa.dictionary(pa.int32(), pa.string()), pa.string_view(), pa.large_string()]
)
def test_texts_of_any_encoding(tmp_path, of_text):
    texts = pa.array(["a", "", None, "b"]).cast(of_text)
    lists = pa.array([["a", None], ["", None], [None], []], pa.list_(pa.string()))
    if of_text != pa.string_view():  # of which Arrow makes no lists
        lists = lists.cast(pa.list_(of_text))
    table = pa.table({"path": texts, "image": lists, "caption": texts, "depth": pa.nulls(4)})
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    manifest = Manifest(tmp_path / "m.parquet", modality="video")
    assert [manifest.having(m).tolist() for m in ("video", "image", "depth")] == [[0, 3], [0], []]
    assert [dict(manifest[n].texts) for n in (0, 3)] == [{"caption": "a"}, {"caption": "b"}]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_lists_without_a_file_carry_nothing(tmp_path, suffix):
    cells = [["", None], ["a"], [None], [], None, ["", "b"], [""]]
    manifest = Manifest(write(tmp_path / f"m{suffix}", [{"image": cell} for cell in cells]))
    assert manifest.having("image").tolist() == [1, 5]
    assert manifest[5].media["image"] == (tmp_path / "b",)


def test_lists_of_fixed_size_carry_what_they_hold(tmp_path):
    cells = pa.array([["", None], None, ["a", ""]], pa.list_(pa.string(), 2))
    pa.parquet.write_table(pa.table({"image": cells}), tmp_path / "m.parquet")
    assert Manifest(tmp_path / "m.parquet").having("image").tolist() == [2]


@pytest.mark.parametrize("gap", ["", " ", None])
def test_ofa_without_one_frame_keeps_the_others(tmp_path, gap):
    row = {"image": "a.jpg", "caption": "c", "ofa": list("abcdefgh"), "ofa_1": "own"}
    holey = row | {"ofa": ["a", "b", "c", gap, "e", "f", "g", "h"]}
    manifest = Manifest(write(tmp_path / "m.jsonl", [row, holey]))
    kept = dict(zip([0, 2, 4, 5, 6, 7], "acefgh", strict=True))
    expected = {"caption": "c", "ofa_1": "own"} | {f"ofa_{k}": text for k, text in kept.items()}
    assert dict(manifest[1].texts) == expected
    assert manifest[0].texts["ofa"] == tuple("abcdefgh")
    assert set(expected) | {"ofa"} <= set(manifest.text_kinds)
    rng = np.random.default_rng(0)
    assert captions.draw_text(manifest[1], "ofa_4", rng)[0] == "e"
    with pytest.raises(errors.DataError, match="lacks ofa_3"):
        captions.draw_text(manifest[1], "ofa_3", rng)


def test_parquet_with_a_name_twice(tmp_path):
    table = pa.table([pa.array(["a"])] * 3, ["path", "path", "caption"])
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    fails(tmp_path / "m.parquet", "has two columns 'path'; rename one", modality="image")


def test_fields_that_come_late_or_look_like_dates(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 64)  # blocks of a few lines
    rows = [{"video": f"{n}.mp4", "caption": None, "tags": []} for n in range(40)]
    rows += [{"video": "x.mp4", "caption": "2020-01-01", "tags": [], "id": 7}] * 3
    manifest = Manifest(write(tmp_path / "m.jsonl", rows))
    assert [dict(manifest[n].texts) for n in (0, 39, 40)] == [{}, {}, {"caption": "2020-01-01"}]
    assert [manifest[n].id for n in (0, 39, 40)] == ["0", "39", "7"]
    assert len(manifest) == 43


@pytest.mark.parametrize(
    ("suffix", "content", "reason"),
    [
        (".csv", b"", "is empty; expected a first line"),
        (".csv", b"path,caption\n", "holds no rows"),
        (".csv", b'path,caption\na,"x\ny"\nb,y,z\n', "line 4: has 3 cells, the header 2"),
        (".csv", b"path,caption\na,x\n\n\nb\n", "line 5: has 1 cell, the header 2"),
        (".csv", b'path,caption\na,x\nb,"y\nc,z\n', "line 3: a quote opens and never closes"),
        (".csv", b'caption\nx\n"y\nz\n', "line 3: a quote opens and never closes"),
        (".csv", b"path,caption\na,x\nb,\xff\n", "line 3: is not UTF-8 text at byte 19"),
        (".csv", "path,caption\na,x\n".encode("utf-16"), "line 1: is not UTF-8 text at byte 0"),
        (".csv", b"path,path,caption\na,b,c\n", "line 1: has two columns 'path'"),
        (".csv", b"path,caption\r\na,x\r\nb\r\n", "line 3: has 1 cell"),
        (".tsv", b"path\tcaption\na\tx\ty\n", "line 2: has 3 cells"),
        (".jsonl", b"", "holds no rows"),
        (".jsonl", b'{"path": "a"}\n\n{"path": }\n', "line 3: Invalid value"),
        (".jsonl", b'{"path": "a"}\n[1]\n', "line 2: Column\\(\\) changed from object to array"),
        (".jsonl", b'{"path": "a"}\n{"path": 3}\n', "line 2: .*changed from string to number"),
        (".jsonl", b'{"path": "a"}\n{"path": ["b"]}\n', "line 2: .*from string to array"),
        (".jsonl", b'{"path": "a"}\n{"path": "b", "path": "c"}\n', "line 2: .*twice"),
        (".jsonl", b'{"path": "a"} {"path": "b"}\n', "line 1: expected one JSON object"),
        (".jsonl", b'{"path": "a"}\n\n{"path": "b"}{}\n', "line 3: expected one JSON object"),
        (".jsonl", b'{"path": "a"} {"path":\n"b"}\n', "line 1: "),
        (".jsonl", b'{"path":\n"a"}\n', "line 1: "),
        (".jsonl", b'{"path": "a"}\n{"path": "\xff"}\n', "line 2: .*UTF8"),
        (".jsonl", b'{"path": "' + b"a" * (2 << 20) + b'"}', "line 1: is longer than 1048576"),
        (".jsonl", b'{}\n{"x": ' + b"[" * 40_000 + b"]" * 40_000 + b"}", "line 2: is nested too"),
        (".jsonl", b'{"path": true}\n', "column 'path' holds bool; expected text or lists of text"),
        (".parquet", b"PAR1 and nothing", "is no Parquet file"),
        (".parquet", b"", "is no Parquet file"),
    ],
)
def test_unreadable_file_names_the_line(tmp_path, suffix, content, reason):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    fails(path, reason, modality="image")
    fails(tmp_path / "none.csv", "No such file")


def test_marks_of_other_programs(tmp_path):
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfpath,caption\r\na,x\r\nb,y")
    (tmp_path / "m.jsonl").write_bytes(b'\xef\xbb\xbf{"path": "a"}\r\n{"path": "b"}')
    for name in ("m.csv", "m.jsonl"):
        manifest = Manifest(tmp_path / name, modality="image")
        assert [manifest[n].media["image"][0].name for n in range(len(manifest))] == ["a", "b"]


def test_missing_column_names_the_nearest(tmp_path):
    path = write(tmp_path / "m.csv", [{"vidoe": "a.mp4", "captoin": "x"}])
    fails(path, r"no column 'path' or 'image'.* it has vidoe, captoin\. Did you mean 'vidoe'")
    fails(path, r"no column 'path'; it has", modality="video")
    columns = {"video": "vidoe"}
    fails(path, r"no column 'caption'; .*'captoin'", needed=["caption"], columns=columns)
    fails(path, r"no column 'capton'; .*'captoin'", columns=columns | {"caption": "capton"})
    fails(path, r"no column can hold 'vide'.*'video'", errors.ConfigError, columns={"vide": "x"})
    fails(path, r"no modality 'vide'.*'video'", errors.ConfigError, modality="vide")
    fails(path, r"no text kind 'capt'.*'caption'", errors.ConfigError, ["capt"], columns=columns)
    path = write(tmp_path / "m.csv", [{"path": "a.mp4"}])
    plain = (
        r"no column 'polish_mplug'; it has path\. Plain captions are kind 'caption'\. Name another"
    )
    fails(path, plain, needed=["polish_mplug"], modality="video")
    fails(path, "'path' names files of an unknown modality", errors.ConfigError)


def test_a_lacking_row_names_its_line(tmp_path):
    content = 'video,caption\na.mp4,"two\nlines"\n\n,x\nb.mp4,\nc.mp4,y\nd\0.mp4,z\n'
    (tmp_path / "m.csv").write_text(content)
    manifest = Manifest(tmp_path / "m.csv")
    for number, reason in (
        (1, "line 5: names no file in video"),
        (4, "line 8: names a file with a zero byte"),
    ):
        with pytest.raises(errors.DataError, match=reason):
            manifest[number]
    assert [manifest[n].texts for n in (2, 3)] == [{}, {"caption": "y"}]


def test_mix_needs_any_of_its_kinds(tmp_path):
    path = write(tmp_path / "m.csv", [{"video": "a.mp4", "raw": "x"}])
    Manifest(path).require(["mix"])
    path = write(tmp_path / "m.csv", [{"video": "a.mp4", "caption": "x"}])
    fails(path, "no column 'mix'", needed=["mix"])


def test_captions_of_frames_stand_for_ofa(tmp_path):
    row = {"video": "a.mp4"} | {f"ofa_{k}": "x" for k in range(8)}
    Manifest(write(tmp_path / "m.csv", [row])).require(["ofa", "ofa_7"])
    del row["ofa_7"]
    fails(write(tmp_path / "m.csv", [row]), "no column 'ofa'", needed=["ofa", "ofa_6"])
    row = {"video": "a.mp4", "ofa": "x"}
    fails(write(tmp_path / "m.csv", [row]), "column 'ofa' holds string; expected lists of text")


def test_another_process_opens_the_same_file_or_none(tmp_path):
    path = write(tmp_path / "m.csv", ROWS)
    packed = pickle.dumps(Manifest(path))
    assert len(packed) < 1000
    assert pickle.loads(packed)[0] == Manifest(path)[0]
    os.utime(path, ns=(0, 0))
    with pytest.raises(errors.DataError, match="has changed since this run opened it"):
        pickle.loads(packed)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_first_line_tells_what_separates_cells(tmp_path, suffix, separator, mark):
    path = tmp_path / f"m{suffix}"
    rows = [["image", "caption"], ["a.png", 'a, b; c | d\te "f"\ng'], ["b.png", "h"]]
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(mark)
        csv.writer(file, delimiter=separator).writerows(rows)
    manifest = Manifest(path)
    assert [manifest[n].texts["caption"] for n in (0, 1)] == [rows[1][1], "h"]
    assert manifest[1].media == {"image": (tmp_path / "b.png",)}
    assert tables.csv_lines(path, "\t" if suffix == ".tsv" else ",").tolist() == [2, 4]


def test_other_marks_in_the_first_line_separate_nothing(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image,caption,a|b|c;d\na.png,x,y\n")
    assert Manifest(path)[0].texts == {"caption": "x"}


def test_comma_in_the_name_of_a_column_separates_nothing(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image;caption;note, long\na.png;one;x\nb.png;two, three;y\n")
    assert [Manifest(path)[n].texts["caption"] for n in (0, 1)] == ["one", "two, three"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,caption\na.png\tone\n", "line 2: .* it has tabs, the header commas"),
        ("image;caption\na.png,one\n", "line 2: .* it has commas, the header semicolons"),
        ("picture\ttitle, long\na.png\tone, two\n", "Names hold tabs: separate all cells"),
        ("sep=;\nimage;caption\na.png;one\n", "line 1: is 'sep=;'.*delete it"),
    ],
)
def test_separators_that_do_not_agree_are_told(tmp_path, text, message):
    path = tmp_path / "m.csv"
    path.write_text(text)
    fails(path, message)


CELLS = st.text(st.sampled_from("ab\",\n\r \t'é"), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(["", "\n"]))
def test_csv_is_read_as_written(tmp_path_factory, rows, blank):
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"path,caption\n{blank}")
        csv.writer(file).writerows(rows)
    table = tables.read_csv(path, {"path", "caption"})
    read = [table.columns[name].to_pylist() for name in ("path", "caption")]
    assert list(zip(*read, strict=True)) == rows
    assert len(tables.csv_lines(path)) == len(rows)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('a",\n\r'), max_size=20))
def test_any_csv_is_read_or_refused_by_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(f"path,caption\nx,y\n{content}".encode())
    reason = ""
    try:
        table = tables.read_csv(path, {"path", "caption"})
    except errors.DataError as e:
        reason = e.reason
    if reason:
        assert "line" in reason
    else:
        lines = tables.csv_lines(path)
        assert len(lines) == table.rows
        assert np.all(np.diff(lines) > 0)


def test_a_column_gives_the_unit_of_depth(tmp_path):
    (tmp_path / "list.csv").write_text(
        "depth,image,depth_unit,caption\na.png,a.jpg,tum,one\nb.png,,,two\nc.png,,0.00025,three\n"
    )
    found = Manifest(tmp_path / "list.csv")
    assert [row.media["depth"] for row in found] == [
        (Measured(tmp_path / "a.png", "tum"),),
        (tmp_path / "b.png",),
        (Measured(tmp_path / "c.png", "0.00025"),),
    ]
    assert found[0].media["image"] == (tmp_path / "a.jpg",)


def test_units_of_depth_may_be_numbers(tmp_path):
    (tmp_path / "list.jsonl").write_text(
        '{"depth": "a.png", "depth_unit": 0.00025}\n{"depth": "b.png", "depth_unit": null}\n'
    )
    found = Manifest(tmp_path / "list.jsonl")
    assert found[0].media["depth"] == (Measured(tmp_path / "a.png", "0.00025"),)
    assert found[1].media["depth"] == (tmp_path / "b.png",)


def test_a_unit_of_depth_that_is_none_is_refused_with_its_line(tmp_path):
    (tmp_path / "list.csv").write_text("depth,depth_unit\na.png,tum\nb.png,\nc.png,kiti\n")
    with pytest.raises(errors.DataError, match=r"line 4: depth unit is 'kiti'.*'kitti'"):
        Manifest(tmp_path / "list.csv")


def test_a_column_names_the_class(tmp_path):
    rows = [{"image": "a.png", "caption": "a", "class": " cat "}]
    rows += [{"image": "b.png", "caption": "b", "class": ""}]
    path = write(tmp_path / "x.csv", rows)
    assert [row.label for row in map(Manifest(path).__getitem__, range(2))] == ["cat", ""]
    assert Manifest(path, columns={"class": "caption"})[1].label == "b"
    numbers = write(tmp_path / "n.jsonl", [{"image": "a.png", "class": 3}])
    assert Manifest(numbers)[0].label == "3"


def test_a_class_column_that_holds_something_else_is_left_out(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"image": "a.png", "class": 0.5, "kind": 0.5}])
    assert Manifest(path)[0].label == ""
    fails(path, "column 'kind' holds double; expected text or whole", columns={"class": "kind"})

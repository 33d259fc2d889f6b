"""Packed corpora as sources: random access, damage, and what they must hold."""

import json
import os
import pickle
import random
from concurrent import futures

import pytest

from lb_jax.core import errors
from lb_jax.corpora import pack, record, records, sources
from lb_jax.corpora.rows import Row
from tests.media import memory


@pytest.fixture
def packed(tmp_path):
    """Forty rows of 3 kB in four shards."""
    pack.pack(memory.Memory(memory.numbered(40, 3000)), tmp_path / "packed", rows_per_shard=10)
    return tmp_path / "packed"


def shard(folder, number):
    return sorted(folder.glob("*.array_record"))[number]


def test_any_row_at_any_time(packed):
    rows, found = memory.numbered(40, 3000), records.Records(packed)
    assert len(found) == 40
    for number in random.Random(0).choices(range(40), k=100):
        assert found[number] == rows[number]
    for number in (-1, 40):
        with pytest.raises(IndexError, match=f"row {number} of 40"):
            found[number]


def test_several_threads_read_at_once_with_few_open_shards(packed, monkeypatch):
    monkeypatch.setattr(records, "OPEN_SHARDS", 2)
    rows, found = memory.numbered(40, 3000), records.Records(packed)
    numbers = random.Random(0).choices(range(40), k=400)
    before = len(os.listdir("/proc/self/fd"))
    with futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(found.__getitem__, numbers)) == [rows[i] for i in numbers]
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_it_is_pickled_by_its_arguments(packed):
    found = records.Records(packed)
    assert found[3] == memory.numbered(4, 3000)[3]
    content = pickle.dumps(found)
    assert len(content) < 1000
    assert pickle.loads(content)[39] == found[39]


def test_every_source_opener_knows_it(packed):
    found = sources.open_source(packed)
    assert isinstance(found, records.Records)
    assert (found.where, found.modalities, found.text_kinds) == (
        str(packed),
        ("image",),
        ("caption",),
    )


@pytest.mark.parametrize(
    ("texts", "asked", "lacking"),
    [
        ([{"raw": "a"}, {"raw": "b"}], "raw", ""),
        ([{"raw": "a"}, {}], "raw", "lacks raw: raw (1 of 2 rows)"),
        ([{"raw": "a"}, {"raw": "b"}], "mplug", "lacks mplug: mplug (0 of 2 rows), raw (2 of 2"),
        ([{"ofa": ("a",) * 8}] * 2, "ofa_3", ""),
        ([{"ofa_3": "a"}] * 2, "ofa_3", ""),
        ([{"ofa_3": "a"}] * 2, "ofa_4", "lacks ofa: ofa (0 of 2 rows), ofa_3 (2 of 2"),
        ([{f"ofa_{k}": "a" for k in range(8)}] * 2, "ofa", ""),
        ([{"raw": "a"}] * 2, "mix", "lacks mplug, polish_mplug, sound_mplug, ofa: "),
    ],
)
def test_every_row_has_the_kinds_needed_or_it_is_told(tmp_path, texts, asked, lacking):
    rows = [Row(str(i), one, {"image": (b"1",)}) for i, one in enumerate(texts)]
    pack.pack(memory.Memory(rows), tmp_path)
    found = records.Records(tmp_path)
    with pytest.raises(errors.ConfigError, match="no text kind 'rwa'"):
        found.require(["rwa"])
    if not lacking:
        found.require([asked])
        return
    with pytest.raises(errors.DataError) as error:
        found.require([asked])
    assert lacking in str(error.value)


@pytest.mark.parametrize("remain", [0, 10, 60_000])
def test_a_cut_shard_is_found_when_the_corpus_is_opened(packed, remain):
    os.truncate(shard(packed, 2), remain)
    with pytest.raises(errors.DataError, match=rf"has {remain} bytes, \d+ by the index") as error:
        sources.open_source(packed)
    assert error.value.path == str(shard(packed, 2))


def test_a_missing_shard_is_found_when_the_corpus_is_opened(packed):
    gone = shard(packed, 1)
    gone.unlink()
    with pytest.raises(errors.DataError, match="cannot be opened") as error:
        records.Records(packed)
    assert error.value.path == str(gone)


def test_a_flipped_bit_is_found_in_its_record_alone(packed):
    path, rows = shard(packed, 2), memory.numbered(40, 3000)
    content = bytearray(path.read_bytes())
    content[content.index(rows[24].media["image"][0])] ^= 1
    path.write_bytes(content)
    found = records.Records(packed)
    with pytest.raises(errors.DataError, match="is damaged") as error:
        found[24]
    assert error.value.path == f"{path}: record 4"
    assert [found[i] for i in range(40) if i != 24] == rows[:24] + rows[25:]


def test_any_flipped_bit_is_harmless_or_told(packed):
    path, rows = shard(packed, 0), memory.numbered(10, 3000)
    whole, rng, told = path.read_bytes(), random.Random(0), 0
    for _ in range(100):
        content = bytearray(whole)
        content[rng.randrange(40_000)] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        found = records.Records(packed)
        for i, row in enumerate(rows):
            try:
                assert found[i] == row
            except errors.DataError:
                told += 1
    assert told > 50


@pytest.mark.parametrize("content", [b"", b"no shard " * 10_000])
def test_a_shard_of_other_content_is_told_when_it_is_read(packed, content):
    path = shard(packed, 1)
    path.write_bytes(content.ljust(path.stat().st_size, b"\0"))
    found = records.Records(packed)
    assert found[0].id == "item0"
    with pytest.raises(errors.DataError, match="is damaged or cannot be opened") as error:
        found[10]
    assert error.value.path == str(path)


def test_a_shard_with_another_number_of_records_is_told(packed):
    path = shard(packed, 1)
    size = path.stat().st_size
    rows = memory.numbered(9, 3000)
    pack.write_shard(path, map(record.encode, rows))
    index = json.loads((packed / pack.INDEX).read_text())
    assert path.stat().st_size <= size
    index["shards"][1]["bytes"] = path.stat().st_size
    (packed / pack.INDEX).write_text(json.dumps(index))
    with pytest.raises(errors.DataError, match="holds 9 records, 10 by the index"):
        records.Records(packed)[12]


def test_records_of_others_are_told_with_their_number(packed):
    path = shard(packed, 1)
    pack.write_shard(path, [*map(record.encode, memory.numbered(9)), b"theirs"])
    index = json.loads((packed / pack.INDEX).read_text())
    index["shards"][1]["bytes"] = path.stat().st_size
    (packed / pack.INDEX).write_text(json.dumps(index))
    found = records.Records(packed)
    assert found[18].id == "item8"
    with pytest.raises(errors.DataError, match="is no row of a packed corpus") as error:
        found[19]
    assert error.value.path == f"{path}: record 9"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no index.json; expected a folder written by `lb-jax data convert SRC DST`"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[]", "holds a list; expected an index"),
        (b"{}", "is of format (None, None), expected ('lb_jax rows', 1)"),
        (b'{"format": "lb_jax rows", "version": 2}', "is of format ('lb_jax rows', 2)"),
        (b'{"format": "lb_jax rows", "version": 1}', "lacks rows, media, texts, shards"),
        (
            b'{"format": "lb_jax rows", "version": 1, "rows": 1, "media": {}, "texts": {},'
            b' "shards": [{"name": "../x.array_record", "rows": 1, "bytes": 1, "media": {},'
            b' "carriers": {}}]}',
            "names the shard '../x.array_record', outside of it",
        ),
    ],
)
def test_a_folder_without_its_index_is_refused(packed, content, words):
    (packed / pack.INDEX).unlink()
    if content is not None:
        (packed / pack.INDEX).write_bytes(content)
    with pytest.raises(errors.DataError) as error:
        sources.open_source(packed)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("media",), [], "has [] as media; expected an object"),
        (("media",), {"image": 39}, "has {'image': 39} as media, its shards {'image': 8"),
        (("rows",), "40", "has '40' as rows; expected a whole number"),
        (("rows",), 41, "has 41 as rows, its shards 40"),
        (("texts",), {"caption": 41}, "texts gives 41 rows with caption; expected 1 to 40"),
        (("texts",), {"captoin": 4}, "texts names 'captoin'; expected some of "),
        (("shards",), {}, "has {} as shards; expected a list"),
        (("shards",), [], "has 40 as rows, its shards 0"),
        (("shards", 1), 7, "shard 1 of it is 7; expected an object"),
        (("shards", 1, "name"), None, "shard 1 of it lacks name"),
        (("shards", 1, "bytes"), True, "has True as bytes; expected a whole number"),
        (("shards", 1, "rows"), -1, "has -1 rows; expected 0 or more"),
        (("shards", 1, "media"), None, "shard 1 of it lacks media"),
        (("shards", 1, "media"), ["image"], "has ['image'] as media; expected an object"),
        (("shards", 1, "media"), {"imge": 2}, "media names 'imge'; expected some of image, "),
        (("shards", 1, "media"), {"image": "2"}, "gives '2' rows with image; expected 1 to 10"),
        (("shards", 1, "media"), {"image": 11}, "gives 11 rows with image; expected 1 to 10"),
        (("shards", 1, "media"), {}, "has carriers of image, which its media lack"),
        (("shards", 1, "carriers"), None, "shard 1 of it lacks carriers"),
        (("shards", 1, "carriers"), "a000", "has 'a000' as carriers; expected an object"),
        (("shards", 1, "carriers"), {}, "lacks the carriers of image, which 2 of 10 rows carry"),
        (("shards", 1, "carriers", "image"), 5, "has 5 as carriers of image; expected hexadec"),
        (("shards", 1, "carriers", "image"), "x000", "has 'x000' as carriers of image; expec"),
        (("shards", 1, "carriers", "image"), "a0", "tell 2 rows in 1 byte; expected 2 in 2"),
        (("shards", 1, "carriers", "image"), "e000", "tell 3 rows in 2 bytes; expected 2 in 2"),
        (("shards", 1, "carriers", "image"), "8001", "tell 2 rows in 2 bytes; expected 2 in 2"),
    ],
)
def test_a_damaged_index_is_told_when_the_corpus_is_opened(tmp_path, where, value, words):
    rows = [
        Row(str(i), {"caption": "a"}, {"image": (b"1",)} if i % 5 < 1 else {}) for i in range(40)
    ]
    pack.pack(memory.Memory(rows), tmp_path, rows_per_shard=10)
    assert list(records.Records(tmp_path).having("image")) == list(range(0, 40, 5))
    index = json.loads((tmp_path / pack.INDEX).read_text())
    inner, last = index, where[-1]
    for key in where[:-1]:
        inner = inner[key]
    inner[last] = value
    if value is None:
        del inner[last]
    (tmp_path / pack.INDEX).write_text(json.dumps(index))
    with pytest.raises(errors.DataError) as error:
        sources.open_source(tmp_path)
    assert error.value.path == str(tmp_path / pack.INDEX)
    assert words in str(error.value)
    assert str(error.value).endswith("; pack the corpus again into a new folder")


def test_an_unfinished_corpus_is_refused(packed):
    (packed / pack.INDEX).rename(packed / pack.PROGRESS)
    with pytest.raises(errors.DataError, match="was not packed to the end; run the command"):
        sources.open_source(packed)


def test_a_single_shard_is_refused(packed):
    with pytest.raises(errors.DataError, match="is one shard; expected a folder"):
        sources.open_source(shard(packed, 0))

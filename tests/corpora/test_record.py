"""A row and its bytes."""

import msgpack
import pytest

from lb_jax.core import errors
from lb_jax.corpora import record
from lb_jax.corpora.rows import Row
from lb_jax.media.sensors.depth_units import Measured
from tests.media import memory

WHOLE = {"id": "a", "texts": {"caption": "a cat"}, "media": {"image": [b"1"]}}


@pytest.mark.parametrize("row", memory.ROWS, ids=lambda row: row.id)
def test_a_row_comes_back_as_it_was(row):
    assert record.decode(record.encode(row), "shard: record 0") == row


def test_the_same_row_gives_the_same_bytes():
    assert [*map(record.encode, memory.ROWS)] == [*map(record.encode, memory.ROWS)]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([1, 2], "holds 2 of int; expected the fields id, texts, media"),
        ({}, "holds nothing; expected the fields"),
        ({"id": "a", "texts": {}}, "holds id, texts; expected the fields"),
        (WHOLE | {"label": 3}, "label; expected the fields id, texts, media"),
        (WHOLE | {"id": 7}, "an id that is int; expected a string"),
        (WHOLE | {"texts": "a cat"}, "texts that are str; expected a map"),
        (WHOLE | {"texts": {"title": "a cat"}}, "unknown texts 'title'"),
        (WHOLE | {"texts": {"caption": b"a cat"}}, "bytes as caption; expected a string"),
        (WHOLE | {"texts": {"caption": []}}, "an empty list as caption"),
        (WHOLE | {"texts": {"caption": ["a", 1]}}, "2 of int, str as caption"),
        (WHOLE | {"texts": {"ofa": ["a"] * 7}}, "7 of str as ofa; expected a string, or several"),
        (WHOLE | {"media": {"sound": [b"1"]}}, "unknown media 'sound'"),
        (WHOLE | {"media": {"image": b"1"}}, "bytes as image; expected files"),
        (WHOLE | {"media": {"image": []}}, "an empty list as image"),
        (WHOLE | {"media": {"image": ["path"]}}, "1 of str as image"),
        (WHOLE | {"media": {"video": [[b"1", "2"]]}}, "1 of tuple as video"),
        (WHOLE | {"media": {"video": [[]]}}, "1 of tuple as video"),
    ],
)
def test_other_fields_are_refused_by_name(fields, words):
    with pytest.raises(errors.DataError) as error:
        record.decode(msgpack.packb(fields), "shard-3: record 17")
    assert error.value.path == "shard-3: record 17"
    assert words in error.value.reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        record.encode(memory.ROWS[0])[:-1],
        record.encode(memory.ROWS[0]) + b"\0",
        b"\xc1",
        msgpack.packb({1: 2}),
        msgpack.packb({"id": b"\xff"}).replace(b"\xc4\x01\xff", b"\xa1\xff"),
        b"\x81" * 100_000,
    ],
)
def test_damage_is_a_data_error(content):
    with pytest.raises(errors.DataError, match="shard: record 0: is no row of a packed corpus"):
        record.decode(content, "shard: record 0")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row("a", {"title": "x"}, {}), "unknown texts 'title'"),
        (Row("a", {"caption": "half \ud800"}, {}), "cannot be written as a record"),
        (Row("a", {}, {"image": ()}), "an empty list as image"),
    ],
)
def test_what_could_not_be_read_is_not_written(row, words):
    with pytest.raises(errors.DataError, match=r"^a: ") as error:
        record.encode(row)
    assert words in str(error.value)


def test_depth_keeps_a_unit_of_its_own():
    row = Row("a", {}, {"depth": (Measured(b"1", "tum"), b"2")})
    assert record.decode(record.encode(row), "shard: record 0") == row


def test_a_unit_that_is_none_is_refused():
    with pytest.raises(errors.DataError, match=r"Measured as depth; expected files"):
        record.encode(Row("a", {}, {"depth": (Measured(b"1", "kiti"),)}))

"""Packing: order, bits, going on, and what is left out."""

import dataclasses
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.corpora import pack, records, tfds_builder
from lb_jax.corpora.rows import Row
from tests import goldens
from tests.media import memory


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def with_files(folder: Path, count: int, missing: tuple[int, ...] = ()) -> memory.Memory:
    """Rows whose images are files, some of which are not there."""
    rows = []
    for i in range(count):
        path = folder / f"{i}.png"
        if i not in missing:
            path.write_bytes(b"picture %d" % i)
        rows.append(Row(f"item{i}", {"caption": f"number {i}"}, {"image": (path,)}))
    return memory.Memory(rows)


def test_every_shape_of_row_comes_back_in_order(tmp_path):
    packed = pack.pack(memory.Memory(memory.ROWS), tmp_path, rows_per_shard=3)
    assert (packed.rows, packed.left_out, packed.shards, packed.written) == (4, 0, 2, 2)
    assert packed.media == dict.fromkeys(("image", "video", "depth", "thermal", "audio"), 1)
    found = records.Records(tmp_path)
    assert tuple(found[i] for i in range(len(found))) == memory.ROWS
    assert found.modalities == ("image", "video", "depth", "thermal", "audio")
    assert found.text_kinds == ("caption", "raw", "mplug", "ofa", "ofa_3")


@pytest.mark.parametrize("threads", [1, 7])
def test_the_same_source_gives_the_same_bits(tmp_path, threads):
    for name in ("a", "b"):
        source = memory.Memory(memory.numbered(50, 20_000))
        pack.pack(source, tmp_path / name, rows_per_shard=16, threads=threads if name == "b" else 4)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 4 + 2


def test_a_whole_corpus_is_left_alone(tmp_path):
    source = memory.Memory(memory.numbered(5))
    pack.pack(source, tmp_path, rows_per_shard=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert pack.pack(source, tmp_path, rows_per_shard=2).written == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_finished_shards_are_not_written_again(tmp_path):
    rows = memory.numbered(10)
    pack.pack(memory.Memory(rows), tmp_path / "whole", rows_per_shard=2)
    encoded = []

    def until_row_7(row):
        encoded.append(row.id)
        if row.id == "item7":
            raise SystemExit
        return pack.ARRAY_RECORD.encode(row)

    stopping = dataclasses.replace(pack.ARRAY_RECORD, encode=until_row_7)
    with pytest.raises(SystemExit):
        pack.pack(memory.Memory(rows), tmp_path / "stopped", to=stopping, rows_per_shard=2)
    assert encoded == [row.id for row in rows[:8]]
    assert not (tmp_path / "stopped" / pack.INDEX).exists()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("stopped/*record")}
    assert len(before) == 3
    packed = pack.pack(memory.Memory(rows), tmp_path / "stopped", rows_per_shard=2)
    assert (packed.written, packed.rows) == (2, 10)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("stopped/*record")}
    assert before.items() <= after.items()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["cut", "gone"])
def test_a_finished_shard_that_changed_since_is_written_again(tmp_path, change):
    source = memory.Memory(memory.numbered(6))
    pack.pack(source, tmp_path / "whole", rows_per_shard=2)
    stopped = unfinished(tmp_path, source)
    shard = sorted(stopped.glob("*record"))[1]
    shard.unlink()
    if change == "cut":
        shard.write_bytes(b"cut")
    assert pack.pack(source, stopped, rows_per_shard=2).written == 1
    assert contents(stopped) == contents(tmp_path / "whole")


@pytest.mark.parametrize("to", ["array_record", "tfds"])
@pytest.mark.parametrize("gone", [(0,), (1, 2), (0, 3), (4,), range(5)])
def test_shards_that_a_finished_folder_lacks_are_written_again(tmp_path, gone, to):
    rows = memory.numbered(9)
    rows[2] = errors.DataError("line 3", "is torn")
    rows[6] = Row("bare", {}, {})
    source = memory.Memory(rows)
    kept = {"to": pack.ARRAY_RECORD if to == "array_record" else tfds_builder.shards(source)}
    options = {**kept, "rows_per_shard": 2, "max_bad_rate": 0.5}
    pack.pack(source, tmp_path, **options)
    whole, read = contents(tmp_path), []
    shards = sorted(tmp_path.glob("*array_record*"))
    times = {path: path.stat().st_mtime_ns for i, path in enumerate(shards) if i not in gone}
    for i in gone:
        shards[i].unlink()
        if i % 2:
            shards[i].write_bytes(b"cut")
    options["to"] = dataclasses.replace(
        options["to"], encode=lambda row: (read.append(row.id), kept["to"].encode(row))[1]
    )
    packed = pack.pack(source, tmp_path, **options)
    assert (packed.written, packed.rows, packed.left_out) == (len(gone), 8, 1)
    good = [i for i in range(9) if i // 2 in gone and i != 2]
    assert read == [rows[i].id for i in good]
    assert contents(tmp_path) == whole
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert pack.pack(source, tmp_path, **options).written == 0


def test_mending_a_finished_folder_may_be_killed_too(tmp_path):
    source = memory.Memory(memory.numbered(8))
    pack.pack(source, tmp_path, rows_per_shard=2)
    whole = contents(tmp_path)
    for shard in (1, 3):
        sorted(tmp_path.glob("*record"))[shard if shard == 1 else -1].unlink()

    def until_item6(row):
        if row.id == "item6":
            raise SystemExit
        return pack.ARRAY_RECORD.encode(row)

    stopping = dataclasses.replace(pack.ARRAY_RECORD, encode=until_item6)
    with pytest.raises(SystemExit):
        pack.pack(source, tmp_path, to=stopping, rows_per_shard=2)
    with pytest.raises(errors.DataError, match="was not packed to the end; run the command"):
        records.Records(tmp_path)
    assert pack.pack(source, tmp_path, rows_per_shard=2).written == 1
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("change", ["quarantine", "texts", "left_out", "shards"])
def test_all_is_written_again_where_the_list_of_shards_is_of_no_use(tmp_path, change):
    source = memory.Memory(memory.numbered(6))
    pack.pack(source, tmp_path, rows_per_shard=2)
    whole = contents(tmp_path)
    sorted(tmp_path.glob("*record"))[1].unlink()
    index = json.loads(whole[pack.INDEX])
    if change == "quarantine":
        (tmp_path / pack.QUARANTINE).unlink()
    elif change == "texts":
        del index["shards"][2]["texts"]
    else:
        index[change] = None
    (tmp_path / pack.INDEX).write_text(json.dumps(index))
    assert pack.pack(source, tmp_path, rows_per_shard=2).written == 3
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("cut", [0, 1, 40, -1, -30])
def test_a_progress_file_that_a_kill_cut_off_is_read_up_to_there(tmp_path, cut):
    source = memory.Memory(memory.numbered(6))
    pack.pack(source, tmp_path / "whole", rows_per_shard=2)
    stopped = unfinished(tmp_path, source)
    lines = (stopped / pack.PROGRESS).read_bytes()
    (stopped / pack.PROGRESS).write_bytes(lines[:cut])
    pack.pack(source, stopped, rows_per_shard=2)
    assert contents(stopped) == contents(tmp_path / "whole")


def unfinished(folder: Path, source: memory.Memory) -> Path:
    """A folder that was killed before its index was written."""
    stopped = folder / "stopped"
    whole = pack._replace

    def killed(path, text):
        raise KeyboardInterrupt

    pack._replace = killed
    try:
        with pytest.raises(KeyboardInterrupt):
            pack.pack(source, stopped, rows_per_shard=2)
    finally:
        pack._replace = whole
    return stopped


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (memory.numbered(7), {}, "rows 6, now 7"),
        ([*memory.numbered(5), Row("other", {}, {"image": (b"1",)})], {}, "sample "),
        (memory.numbered(6), {"rows_per_shard": 3}, "rows_per_shard 2, now 3"),
        (memory.numbered(6), {"only": []}, "modalities ['image'], now []"),
        (
            memory.numbered(6),
            {"to": pack.Format("other", "x", lambda row: b"")},
            "to 'lb_jax rows', now 'other'",
        ),
    ],
)
@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_another_corpus_or_options_are_refused(tmp_path, state, rows, options, words):
    source, folder = memory.Memory(memory.numbered(6)), tmp_path / "stopped"
    if state == "finished":
        pack.pack(source, folder, rows_per_shard=2)
    else:
        unfinished(tmp_path, source)
    before = contents(folder)
    with pytest.raises(errors.ConfigError, match="packed from another corpus") as error:
        pack.pack(memory.Memory(rows), folder, **{"rows_per_shard": 2, **options})
    assert words in str(error.value)
    assert contents(folder) == before


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"1")
    with pytest.raises(errors.ConfigError, match=r"holds 'holiday.jpg' and no packed corpus"):
        pack.pack(memory.Memory(memory.numbered(2)), tmp_path)


def test_two_processes_do_not_pack_into_one_folder(tmp_path):
    source = memory.Memory(memory.numbered(2))
    with (
        pack._alone(tmp_path),
        pytest.raises(errors.ConfigError, match="packed by another process"),
    ):
        pack.pack(source, tmp_path)
    assert pack.pack(source, tmp_path).rows == 2


def test_unreadable_rows_are_left_out_and_listed(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    source = with_files(files, 20, missing=(3, 18))
    (files / "7.png").write_bytes(b"")
    source._rows = (*source._rows[:19], errors.DataError("line 19", "is torn"))
    packed = pack.pack(source, tmp_path / "out", rows_per_shard=4, max_bad_rate=0.2)
    assert (packed.rows, packed.left_out, packed.shards) == (16, 4, 5)
    lines = (tmp_path / "out" / pack.QUARANTINE).read_text().splitlines()
    bad = [json.loads(line) for line in lines]
    assert [(one["row"], one["id"]) for one in bad] == [
        (3, "item3"),
        (7, "item7"),
        (18, "item18"),
        (19, None),
    ]
    assert [one["path"] for one in bad[:2]] == [str(files / "3.png"), str(files / "7.png")]
    assert [one["reason"].split(";")[0] for one in bad] == [
        "does not exist",
        "is empty",
        "does not exist",
        "is torn",
    ]
    found = records.Records(tmp_path / "out")
    left = [i for i in range(20) if i not in (3, 7, 18, 19)]
    assert [found[i].id for i in range(16)] == [f"item{i}" for i in left]


def test_clips_may_be_still_pictures(tmp_path):
    stills = tuple(tmp_path / f"{k}.png" for k in range(3))
    for path in stills:
        path.write_bytes(b"picture " + path.name.encode())
    rows = [
        Row("whole", {}, {"video": (stills,)}),
        Row("some", {}, {"video": ((*stills[:2], b"in memory"), stills[2])}),
        Row("lacking", {}, {"video": ((stills[0], tmp_path / "none.png"),)}),
    ]
    packed = pack.pack(memory.Memory(rows), tmp_path / "out", max_bad_rate=0.5)
    assert (packed.rows, packed.left_out) == (2, 1)
    found, read = records.Records(tmp_path / "out"), [path.read_bytes() for path in stills]
    assert found[0].media == {"video": (tuple(read),)}
    assert found[1].media == {"video": ((*read[:2], b"in memory"), read[2])}
    assert str(tmp_path / "none.png") in (tmp_path / "out" / pack.QUARANTINE).read_text()


def test_too_many_unreadable_rows_stop_it_and_a_larger_share_goes_on(tmp_path):
    source = with_files(tmp_path, 20, missing=(9, 12, 13))
    options = {"rows_per_shard": 4, "threads": 2}
    with pytest.raises(errors.DataError, match=r"3 of its 20 rows cannot be read") as error:
        pack.pack(source, tmp_path / "out", max_bad_rate=0.1, **options)
    assert f"row 13: {tmp_path / '13.png'}: does not exist" in str(error.value)
    assert len((tmp_path / "out" / pack.QUARANTINE).read_text().splitlines()) == 3
    assert not (tmp_path / "out" / pack.INDEX).exists()
    packed = pack.pack(source, tmp_path / "out", max_bad_rate=0.15, **options)
    assert (packed.rows, packed.left_out, packed.written) == (17, 3, 2)
    pack.pack(source, tmp_path / "at_once", max_bad_rate=1, **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "at_once")


def test_a_shard_may_be_empty_and_a_corpus_may_not(tmp_path):
    source = with_files(tmp_path, 6, missing=(2, 3))
    packed = pack.pack(source, tmp_path / "some", rows_per_shard=2, max_bad_rate=1)
    assert (packed.rows, packed.shards) == (4, 3)
    found = records.Records(tmp_path / "some")
    assert [found[i].id for i in range(4)] == ["item0", "item1", "item4", "item5"]
    nothing = with_files(tmp_path / "some", 2, missing=(0, 1))
    with pytest.raises(errors.DataError, match="no row that can be packed"):
        pack.pack(nothing, tmp_path / "none", max_bad_rate=1)


def test_only_some_modalities(tmp_path):
    pack.pack(memory.Memory(memory.ROWS), tmp_path, only=["audio", "depth"])
    found = records.Records(tmp_path)
    assert found.modalities == ("depth", "audio")
    assert [tuple(found[i].media) for i in range(4)] == [(), ("depth",), ("audio",), ()]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"only": ["imag"]}, "has no 'imag'; it may have image. Did you mean 'image'?"),
        ({"rows_per_shard": 0}, "at least 1"),
        ({"threads": 0}, "at least 1"),
        ({"max_bad_rate": 1.5}, "max bad rate is 1.5; it is a share from 0 to 1"),
    ],
)
def test_wrong_arguments_are_told(tmp_path, options, words):
    with pytest.raises(errors.ConfigError) as error:
        pack.pack(memory.Memory(memory.numbered(2)), tmp_path / "out", **options)
    assert words in " ".join(str(error.value).split())
    assert not (tmp_path / "out").exists()


def test_an_empty_corpus_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match="holds no rows"):
        pack.pack(memory.Memory([]), tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.ConfigError, match="cannot be made"):
        pack.pack(memory.Memory(memory.numbered(1)), tmp_path / "file" / "out")


# A limit on the size of files is what a test can have of a full disk.
FULL = """
    import resource, sys
    from lb_jax.core import errors
    from lb_jax.corpora import pack
    from tests.media import memory
    rows = [*memory.numbered(4), *memory.numbered(2, 200_000)]
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
    try:
        pack.pack(memory.Memory(rows), sys.argv[1], rows_per_shard=2)
    except errors.DataError as error:
        print(error)
"""


def test_a_full_disk_is_told_and_the_next_call_goes_on(tmp_path):
    rows = [*memory.numbered(4), *memory.numbered(2, 200_000)]
    pack.pack(memory.Memory(rows), tmp_path / "whole", rows_per_shard=2)
    limit = max(path.stat().st_size for path in tmp_path.glob("whole/*record")) - 1
    program = textwrap.dedent(FULL.format(limit=limit))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        cwd=goldens.ROOT,
    )
    assert "cannot be written" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert "goes on after them" in done.stdout
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    packed = pack.pack(memory.Memory(rows), tmp_path / "out", rows_per_shard=2)
    assert packed.written == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")

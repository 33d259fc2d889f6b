"""`lb-jax data convert`: what it prints, what it refuses, and what a kill leaves."""

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.corpora import pack, records, sources
from tests import goldens

ITEMS = 60


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A VIDAL annotation whose items have 8 depth and 8 thermal files, but for two of them."""
    folder, rng, rows = tmp_path_factory.mktemp("corpus"), random.Random(0), {}
    for i in range(ITEMS):
        rows[f"v{i}"] = {
            "folder": "f",
            "raw": f"title {i}",
            "ofa": [f"frame {k}" for k in range(8)],
        }
        for path in ("f/v{}_depth_f8glpn_folder/{}.png", "f/v{}_thermal_folder/{}.jpg"):
            for k in range(8):
                file = folder / path.format(i, k)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(rng.randbytes(3000))
    for i in (7, 30):
        (folder / f"f/v{i}_thermal_folder/3.jpg").unlink()
    (folder / "rows.json").write_text(json.dumps(rows))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_it_tells_what_it_packed_and_then_that_nothing_is_left(call, corpus, tmp_path):
    line = f"data convert {corpus}/rows.json {{tmp}}/out --only depth --rows-per-shard 25"
    first, second = call(line), call(line)
    assert (first.status, second.status) == (0, 0)
    assert (
        f"{tmp_path}/out: packed: 60 rows in 3 shards\n  depth 60\n  raw 60, ofa 60\n" == first.out
    )
    assert "60/60" in first.err
    assert "out: was already complete; nothing to do: 60 rows in 3 shards" in second.out
    assert second.err == ""
    found = sources.open_source(tmp_path / "out")
    whole = sources.open_source(corpus / "rows.json")
    for i in range(ITEMS):
        assert (found[i].id, found[i].texts) == (whole[i].id, whole[i].texts)
        files = tuple(path.read_bytes() for path in whole[i].media["depth"])
        assert found[i].media == {"depth": files}


def test_a_shard_that_has_gone_is_written_again(call, corpus, tmp_path):
    line = f"data convert {corpus}/rows.json {{tmp}}/out --only depth --rows-per-shard 25"
    first, whole = call(line), contents(tmp_path / "out")
    sorted(tmp_path.glob("out/*.array_record"))[1].unlink()
    second = call(line)
    assert (second.status, second.out) == (0, first.out)
    assert contents(tmp_path / "out") == whole


@pytest.mark.parametrize("to", ["array_record", "tfds"])
def test_rows_that_are_left_out_are_counted_and_listed(call, corpus, tmp_path, to):
    line = f"data convert {corpus}/rows.json {{tmp}}/out --only depth,thermal --to {to}"
    result = call(line)
    assert result.status == 2
    assert re.search(r"1 of its 60 rows cannot be read.* v?7.*3\.jpg: does not exist", result.err)
    result = call(f"{line} --max-bad-rate 0.05")
    assert result.status == 0
    assert f"left out: 2, see {tmp_path}/out/quarantine.jsonl" in result.out
    bad = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert [one["id"] for one in bad] == ["v7", "v30"]
    found = sources.open_source(tmp_path / "out")
    assert (len(found), found.modalities) == (58, ("depth", "thermal"))


def test_packed_corpora_are_packed_again(call, corpus, tmp_path):
    assert call(f"data convert {corpus}/rows.json {{tmp}}/a --only depth").status == 0
    assert call("data convert {tmp}/a {tmp}/b --to tfds --rows-per-shard 7").status == 0
    assert call("data convert {tmp}/b:train {tmp}/c --rows-per-shard 9").status == 0
    first, last = sources.open_source(tmp_path / "a"), sources.open_source(tmp_path / "c")
    assert [last[i] for i in range(len(last))] == [first[i] for i in range(ITEMS)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("data", r"data: no command; Commands: check, convert; `lb-jax data --help` tells more"),
        ("data ''", r"unknown command ''\. Commands: check, convert"),
        ("data check ''", r"SRC is ''; expected an annotation, manifest, folder or dataset\. Give"),
        ("data convert '' {tmp}/out", "SRC is ''; expected an annotation"),
        ("data convert ' ' {tmp}/out", "SRC is ' '; expected an annotation"),
        ("data check tfds:nope --root {tmp}", "no prepared dataset 'nope' in .*, which holds none"),
        ("data convrt a b", "Did you mean 'convert'"),
        ("data convert", "required: SRC, DST; `lb-jax data convert --help`"),
        ("data convert {tmp}/no.json {tmp}/out", r"no\.json: does not exist"),
        ("data convert {tmp} {tmp}/out", "holds no files and no class folders; expected "),
        ("data convert {rows} {rows}", "the folder cannot be made"),
        ("data convert {rows} {media}", "and no packed corpus; give a new or empty folder"),
        ("data convert {rows} {tmp}/out --only dept", "--only is 'dept'.*Did you mean 'depth'"),
        ("data convert {rows} {tmp}/out --columns a", "--columns is 'a'; expected NAME=COLUMN"),
        ("data convert {rows} {tmp}/out --columns a=b,a=c", "--columns is 'a=b,a=c'"),
        ("data convert {rows} {tmp}/out --rows-per-shard 0", "at least 1"),
        ("data convert {rows} {tmp}/out --max-bad-rate 2", "a share from 0 to 1"),
        ("data convert {rows} {tmp}/out --to zip", "invalid choice: 'zip'"),
        ("data convert {rows} {tmp}/out --modality smell", "invalid choice: 'smell'"),
    ],
)
def test_mistakes_are_one_line(call, corpus, line, words):
    result = call(line.replace("{rows}", f"{corpus}/rows.json"))
    assert result.status == 2
    assert re.search(words, result.err)
    assert len(result.err.strip().splitlines()) == 1


def test_the_help_of_all_commands_tells_both_of_data(call):
    assert re.search(r"data +corpora: check any of them, pack it into shards", call("--help").out)


def start(corpus: Path, out: Path, to: str = "array_record") -> subprocess.Popen:
    """The command as a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "lb_jax.data", "convert", str(corpus / "rows.json"), str(out)),
            *("--only", "depth", "--rows-per-shard", "1", "--to", to),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=goldens.ROOT,
    )


@pytest.mark.parametrize("to", ["array_record", "tfds"])
def test_killed_at_any_moment_it_goes_on_and_the_shards_are_the_same(corpus, tmp_path, to):
    assert start(corpus, tmp_path / "whole", to).wait() == 0
    out, rng, reached = tmp_path / "out", random.Random(0), []
    while True:
        process = start(corpus, out, to)
        aim = len(list(out.glob("*array_record*"))) + rng.choice((0, 5, 10, 15, 20))
        while process.poll() is None and len(list(out.glob("*array_record*"))) < aim:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        reached.append(len(list(out.glob("*array_record*"))))
        if not (out / pack.INDEX).exists():
            with pytest.raises(errors.LbJaxError, match=r"not packed to the end|of a known kind"):
                sources.open_source(out)
    assert process.returncode == 0
    assert len(reached) >= 3
    assert reached == sorted(reached)
    assert contents(out) == contents(tmp_path / "whole")
    assert not [name for name in contents(out) if name.startswith(".")]


def test_finished_shards_survive_the_kill_as_they_are(corpus, tmp_path):
    process = start(corpus, tmp_path / "out")
    while process.poll() is None and len(list(tmp_path.glob("out/*.array_record"))) < 20:
        time.sleep(0.001)
    process.kill()
    process.wait()
    lines = (tmp_path / "out" / pack.PROGRESS).read_bytes().splitlines()[1:-1]
    noted = [tmp_path / "out" / json.loads(line)["name"] for line in lines]
    before = {path: path.stat().st_mtime_ns for path in noted}
    assert len(before) >= 18
    assert start(corpus, tmp_path / "out").wait() == 0
    assert {path: path.stat().st_mtime_ns for path in noted} == before
    assert len(records.Records(tmp_path / "out")) == ITEMS

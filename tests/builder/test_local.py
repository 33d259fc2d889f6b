"""Runs in processes: what is kept, what goes on after kills, what is refused before it starts."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from lb_jax.builder import export, items, sheet, stages, store
from lb_jax.builder.engine import local, looking
from lb_jax.builder.filters.duration import Duration
from lb_jax.builder.filters.still import Still
from lb_jax.builder.stage import Stage, keep, refuse
from lb_jax.builder.stages import STAGES
from lb_jax.core import errors
from lb_jax.media import decoders
from tests.builder import raw

pytest.importorskip("lancedb")

FILMS = 9
DRIVER = """
import sys
from tests.builder import raw
if __name__ == "__main__":
    source, uri = sys.argv[1:]
    raw.run(raw.config(source), uri, workers=2, commit_rows=3)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Nine films that are good, one that is damaged, one that stands still, one that is long."""
    frames, wave = raw.drawn(50)
    others = {
        "damaged": None,
        "stands": (frames[:1].repeat(len(frames), axis=0), wave),
        "long": raw.drawn(51, frames=200, side=96),
    }
    return raw.source(tmp_path_factory.mktemp("source"), FILMS, **others)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """Plan, store and table of a run that nothing disturbed."""
    return raw.run(raw.config(source), tmp_path_factory.mktemp("whole") / "store")


def by_key(table, column):
    return dict(zip(table["key"].to_pylist(), table[column].to_pylist(), strict=True))


def test_what_is_refused_is_told_with_its_reason(whole):
    _, _, table = whole
    refused = {key: by for key, by in by_key(table, "refused_by").items() if by}
    assert refused == {"damaged": "duration", "stands": "still", "long": "duration"}
    reasons = by_key(table, "reason")
    assert "cut off" in reasons["damaged"]
    assert reasons["long"] == "lasts 25.0 s, more than 20 s"
    assert by_key(table, "duration.kept")["damaged"] is None
    assert by_key(table, "still.kept")["long"] is None  # it was not asked
    assert by_key(table, "still.change")["film000"] > 1
    assert table["id"].to_pylist() == sorted(table["id"].to_pylist())


def test_yields(whole):
    plan, _, table = whole
    found = {row["stage"]: row for row in export.yields(plan, table)}
    assert found["title_length"] == {
        "stage": "title_length",
        "asked": 12,
        "kept": 12,
        "refused": 0,
        "bad": 0,
    }
    assert [found["duration"][name] for name in ("asked", "kept", "refused", "bad")] == [
        12,
        10,
        1,
        1,
    ]
    assert found["still"]["kept"] == FILMS == sum(by_key(table, "kept").values())


def test_a_second_run_does_nothing(whole, source, monkeypatch):
    plan, opened, table = whole
    monkeypatch.setattr(decoders, "Decoders", None)  # no process is started
    again = store.Store.open(opened.uri)
    local.run(plan, items.read(sheet.Source(path=str(source))), again, shown=False)
    assert export.table(plan, again).equals(table)


def test_a_stage_added_later_runs_alone(source, tmp_path, whole, monkeypatch):
    some = tuple(name for name in raw.PLAIN if name not in ("still", "aspect"))
    raw.run(raw.config(source, some), tmp_path / "store")
    asked = []
    films = local.Local.films

    def watched(self, plan, batches, rows):
        batches = [list(batch) for batch in batches]
        asked.extend(task for batch in batches for task in batch)
        return films(self, plan, batches, rows)

    monkeypatch.setattr(local.Local, "films", watched)
    _, _, table = raw.run(raw.config(source), tmp_path / "store")
    assert {task.names for task in asked} == {("aspect", "still")}
    assert len(asked) == FILMS + 1
    assert table.equals(whole[2])


def test_the_same_table_by_any_number_of_processes_and_size_of_commits(source, tmp_path, whole):
    _, _, table = raw.run(raw.config(source), tmp_path / "store", workers=3, commit_rows=5)
    assert table.equals(whole[2])
    first, second = (export.write(one, tmp_path) for one in (table, whole[2]))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_left_out_where_all_that_was_begun_ends_at_once(
    source, tmp_path, whole, monkeypatch
):
    finished = local._Work.finished

    def together(self):
        if not any(batch.left for batch in self.open):
            yield from finished(self)

    monkeypatch.setattr(local._Work, "finished", together)
    _, _, table = raw.run(raw.config(source), tmp_path / "store", commit_rows=3)
    assert table.equals(whole[2])


def test_kills_change_nothing(source, tmp_path, whole):
    uri, draw = tmp_path / "store", random.Random(0)
    command = [sys.executable, "-c", DRIVER, str(source), str(uri)]
    killed = 0
    for _ in range(4):
        running = subprocess.Popen(command, start_new_session=True)
        before, until = _rows(uri), time.monotonic() + 60
        while running.poll() is None and time.monotonic() < until and _rows(uri) <= before:
            time.sleep(draw.uniform(0, 0.05))
        killed += running.poll() is None
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert killed
    subprocess.run(command, check=True)
    plan, _, table = whole
    assert export.table(plan, store.Store.open(uri)).equals(table)


def _rows(uri):
    """Files of all commits, as far as there are any."""
    return sum(1 for _ in uri.glob("stage_*.lance/data/*")) if uri.exists() else 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"duration": Duration(longest_s=30)}, "config.duration.longest_s was 20.0 and is 30"),
        ({"still": Still(pictures=4)}, "config.still.pictures was 8 and is 4"),
    ],
)
def test_a_store_of_another_sheet_is_refused_by_the_name_of_what_differs(
    source, whole, changes, told
):
    with pytest.raises(errors.DataError, match=f"is of another sheet: {told}"):
        raw.run(raw.config(source, **changes), whole[1].uri)


def test_a_store_of_another_version_of_a_stage_is_refused(source, whole, monkeypatch):
    later = dataclasses.replace(STAGES["still"], version=2)
    monkeypatch.setitem(STAGES, "still", later)
    with pytest.raises(errors.DataError, match="'still' was run in its version 1, and this is 2"):
        raw.run(raw.config(source), whole[1].uri)


def test_a_store_of_another_source_is_refused(tmp_path, whole):
    other = raw.source(tmp_path / "other", 1)
    with pytest.raises(errors.DataError, match="is of another source: 11 items of it are not"):
        raw.run(raw.config(other), whole[1].uri)


def test_a_full_disk_is_one_line_and_nothing_is_lost(source, tmp_path, whole, monkeypatch):
    add, calls = store.Store.add, []

    def full(self, one, rows):
        calls.append(one.name)
        if len(calls) > 20:
            with store.told(self.uri):
                raise OSError(28, "No space left on device")
        add(self, one, rows)

    with monkeypatch.context() as patched:
        patched.setattr(store.Store, "add", full)
        with pytest.raises(errors.DataError, match="its disk is full; what was committed is whole"):
            raw.run(raw.config(source), tmp_path / "store")
    _, _, table = raw.run(raw.config(source), tmp_path / "store")
    assert table.equals(whole[2])


def _compares_length(rows, cfg):
    """Keeps the first of each length of a title."""
    seen, found = set(), []
    for title in rows["title"].to_pylist():
        found.append(refuse("again") if len(title) in seen else keep())
        seen.add(len(title))
    return found


def test_a_comparison_is_made_again_where_it_sees_others(source, tmp_path, monkeypatch):
    calls = []
    compares = Stage(
        "titles",
        "lengths of titles",
        STAGES["titles"].settings,
        compare=lambda rows, cfg: calls.append(len(rows)) or _compares_length(rows, cfg),
    )
    monkeypatch.setitem(STAGES, "titles", compares)
    cfg = raw.config(source, ("duration", "titles"))
    _, _, first = raw.run(cfg, tmp_path / "store")
    _, _, again = raw.run(cfg, tmp_path / "store")
    assert calls == [10]
    assert again.equals(first)
    added = raw.config(source, ("duration", "still", "titles"))
    _, _, table = raw.run(added, tmp_path / "store")
    assert calls == [10, 9]
    _, _, fresh = raw.run(added, tmp_path / "fresh")
    assert table.equals(fresh)


def test_faults_of_this_package_on_the_first_films_stop_the_run(source, tmp_path, monkeypatch):
    plan = sheet.plan(raw.config(source, ("duration",)))
    broken = [stages.Planned(plan[0].stage, plan[0].settings, None)]  # no settings: an exception
    opened = store.Store.open(tmp_path / "store")
    with pytest.raises(errors.InternalError, match="lb_jax failed on the first 3 films: Attribute"):
        local.run(broken, items.read(raw.config(source).source), opened, workers=1, shown=False)


def test_looks_stop_at_the_first_refusal(source):
    plan = sheet.plan(raw.config(source))
    looks = looking.Looks.of(plan)
    path = source.parent / "long.mp4"
    assert [name for name, _ in looks.all(str(path), str(path), looks.names)] == ["duration"]

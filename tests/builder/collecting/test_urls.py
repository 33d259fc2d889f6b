"""A table of URLs: everything is fetched once, whatever the server does."""

import errno

import pytest

from lb_jax.builder import downloads, items, sheet
from lb_jax.core import errors
from tests.builder.collecting import world
from tests.builder.loopback import Answer


def test_nothing_is_lost_and_nothing_twice(server, tmp_path):
    paths = world.films(server, 8)
    changed = world.FILM + b"another" * 10_000
    server.faults = {
        paths[1]: [Answer(429, {"Retry-After": "9"})],
        paths[2]: [Answer(500), Answer(502)],
        paths[3]: [Answer(cut=20_000), Answer(cut=30_000)],
        paths[4]: [Answer(cut=20_000, then=changed)],
        paths[5]: [Answer(cut=5_000, stall=True)],
        paths[6]: [Answer(404)],
    }
    table = world.table(tmp_path / "t.csv", world.rows(server, paths, licence="CC0-1.0"))
    summary, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert dict(summary.counts) == {"done": 7, "refused": 1}
    assert summary.reasons == {"refused: answers 404 Not Found": 1}
    assert sorted(raw) == [f"film{n}" for n in (0, 1, 2, 3, 4, 5, 7)]
    for n in (0, 1, 2, 3, 4, 5, 7):
        content = (tmp_path / "out" / raw[f"film{n}"]["file"]).read_bytes()
        assert content == server.files[paths[n]]
    assert server.files[paths[4]] == changed
    assert server.sent == {path: 1 for n, path in enumerate(paths) if n != 6}
    assert world.apart(server) >= 0.999  # 60 a minute
    held = [one.time for one in server.asked(paths[1])]
    assert held[1] - held[0] >= 9
    asked = len(server.log)
    again, same = world.run(tmp_path / "out", server, f"urls={table}")
    assert (again.fetched, same, len(server.log)) == (0, raw, asked)
    assert sorted(one.name for one in (tmp_path / "out" / "media").iterdir()) == [
        f"film{n}.mp4" for n in (0, 1, 2, 3, 4, 5, 7)
    ]


def test_what_failed_is_asked_again_by_the_next_run(server, tmp_path):
    (path,) = world.films(server, 1)
    server.faults[path] = [Answer(cut=40_000), *[Answer(500)] * 4]
    table = world.table(tmp_path / "t.csv", world.rows(server, [path]))
    first, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert (dict(first.counts), raw) == ({"failed": 1}, {})
    second, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert (dict(second.counts), second.fetched) == ({"done": 1}, 1)
    assert server.log[-1].headers["Range"] == "bytes=40000-"
    assert (tmp_path / "out" / raw["film0"]["file"]).read_bytes() == server.files[path]


def test_a_host_that_asks_for_too_long_costs_this_run_alone(server, tmp_path):
    paths = world.films(server, 3)
    server.faults[paths[0]] = [Answer(429, {"Retry-After": "86400"})]
    table = world.table(tmp_path / "t.csv", world.rows(server, paths))
    first, _ = world.run(tmp_path / "out", server, f"urls={table}")
    assert (dict(first.counts), len(server.log)) == ({"failed": 3}, 1)
    second, _ = world.run(tmp_path / "out", server, f"urls={table}")
    assert dict(second.counts) == {"done": 3}


def test_a_full_disk_loses_nothing(server, tmp_path, monkeypatch):
    paths = world.films(server, 4)
    table = world.table(tmp_path / "t.csv", world.rows(server, paths))
    begin = downloads.Partial.begin

    def full(one, version):
        if version.url.endswith(paths[2]):
            raise OSError(errno.ENOSPC, "No space left on device")
        return begin(one, version)

    monkeypatch.setattr(downloads.Partial, "begin", full)
    with pytest.raises(errors.DataError, match="its disk is full") as caught:
        world.run(tmp_path / "out", server, f"urls={table}")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(downloads.Partial, "begin", begin)
    summary, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert (dict(summary.counts), len(raw)) == ({"done": 4}, 4)
    assert server.sent[paths[0]] == server.sent[paths[1]] == 1


def test_a_file_that_has_its_name_is_not_asked_for(server, tmp_path):
    """What a kill leaves between the file and the ledger."""
    (path,) = world.films(server, 1)
    table = world.table(tmp_path / "t.csv", world.rows(server, [path]))
    media = tmp_path / "out" / "media"
    media.mkdir(parents=True)
    (media / "film0.mp4").write_bytes(server.files[path])
    summary, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert (summary.fetched, raw["film0"]["file"], server.log) == (1, "media/film0.mp4", [])
    (media / "film0.mp4").unlink()  # and one that is gone is missing
    world.run(tmp_path / "out", server, f"urls={table}")
    assert server.sent == {path: 1}


def test_licences_are_filtered_and_asked_for(server, tmp_path):
    paths = world.films(server, 3)
    rows = world.rows(server, paths)
    for row, licence in zip(
        rows, ("https://creativecommons.org/licenses/by/4.0/", "CC0-1.0", ""), strict=True
    ):
        row["licence"] = licence
    table = world.table(tmp_path / "t.csv", rows)
    with pytest.raises(errors.DataError, match=r"002.mp4: has no licence, and config.collect.req"):
        world.run(tmp_path / "out", server, f"urls={table}", require_licence=True)
    summary, raw = world.run(tmp_path / "out", server, f"urls={table}", licences=("CC0-1.0",))
    assert list(raw) == ["film1"]
    assert dict(summary.counts) == {"done": 1, "left out": 2}
    assert "left out: is under CC-BY-4.0" in summary.reasons
    more = ("CC0-1.0", "CC-BY-4.0")
    _, raw = world.run(tmp_path / "out", server, f"urls={table}", licences=more)
    assert {key: one["licence"] for key, one in raw.items()} == {
        "film0": "CC-BY-4.0",
        "film1": "CC0-1.0",
    }
    assert server.sent == {paths[0]: 1, paths[1]: 1}


def test_titles_and_tags_are_raw_and_a_source_that_runs(server, tmp_path):
    (path,) = world.films(server, 1)
    row = world.rows(server, [path], licence="CC0-1.0", tags="dog #park")[0]
    table = world.table(tmp_path / "t.csv", [row | {"title": "A dog  in the #Park"}])
    _, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert raw["film0"]["title"] == "A dog in the #Park #dog"
    assert raw["film0"]["source"] == server.host
    found = items.read(sheet.Source(path=str(tmp_path / "out" / "raw.json"), require_licence=True))
    assert found.rows["title"].to_pylist() == ["A dog in the #Park #dog"]


def test_what_a_table_says_now_counts(server, tmp_path):
    (path,) = world.films(server, 1)
    table = world.table(tmp_path / "t.csv", world.rows(server, [path], licence=""))
    world.run(tmp_path / "out", server, f"urls={table}")
    rows = world.rows(server, [path], licence="CC0-1.0")
    world.table(table, [rows[0] | {"title": "better"}])
    summary, raw = world.run(tmp_path / "out", server, f"urls={table}")
    assert (raw["film0"]["title"], raw["film0"]["licence"]) == ("better", "CC0-1.0")
    assert (summary.fetched, server.sent) == (0, {path: 1})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("link,title\nx,y\n", "has no column 'url'; it has link, title"),
        ("url,title\n,y\n", "row 1: has no url"),
        ("url,id\nhttp://a.org/1,x\nhttp://a.org/2,x\n", "x: is the id of two rows"),
        ("url\nnothing\n", "is no URL"),
    ],
)
def test_wrong_tables_are_told(server, tmp_path, content, told):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(errors.DataError) as caught:
        world.run(tmp_path / "out", server, f"urls={tmp_path / 't.csv'}")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ((), "config.collect.sources is empty"),
        (("url=t.csv",), "there is no kind of source 'url'. Did you mean 'urls'?"),
        (("freesond",), "Did you mean 'freesound'?"),
        (("urls",), "expected urls=TABLE"),
        (("urls=t.txt",), "is no table"),
        (("folder=nowhere",), "is no folder"),
    ],
)
def test_wrong_sources_are_told(server, tmp_path, sources, told):
    with pytest.raises(errors.ConfigError) as caught:
        world.run(tmp_path / "out", server, *sources)
    assert told in str(caught.value)

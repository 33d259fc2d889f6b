"""yt-dlp against a server on 127.0.0.1, by its extractor of any page."""

import dataclasses

import pytest

from lb_jax.builder.collecting import sources
from lb_jax.builder.collecting.settings import Collect, YtDlp
from lb_jax.core import errors
from tests.builder.collecting import world
from tests.builder.loopback import Answer

pytest.importorskip("yt_dlp")


def run(out, server, *paths, ytdlp=None, **changes):
    given = [f"ytdlp={server.url}{path}" for path in paths]
    settings = {"ytdlp": ytdlp or YtDlp()} | changes
    return world.run(out, server, *given, **settings)


def test_nothing_is_lost_and_nothing_twice(server, tmp_path):
    paths = world.films(server, 6)
    changed = world.FILM + b"another" * 40_000
    # what is asked first is for the page, what is asked last for the film
    server.faults = {
        paths[1]: [Answer(429, {"Retry-After": "9"}), Answer(500)],
        paths[2]: [Answer(), Answer(), Answer(cut=40_000), Answer(), Answer(cut=20_000)],
        paths[3]: [Answer(), Answer(), Answer(cut=40_000, then=changed)],
        paths[4]: [Answer(), Answer(), Answer(cut=40_000, stall=True)],
        paths[5]: [Answer(404)] * 9,
    }
    summary, raw = run(tmp_path / "out", server, *paths)
    assert dict(summary.counts) == {"done": 5}
    assert list(summary.unanswered) == [f"ytdlp: {server.url}{paths[5]}"]
    titles = {one["title"]: key for key, one in raw.items()}
    assert sorted(titles) == [f"{n:03}" for n in range(5)]
    for n in range(5):
        content = (tmp_path / "out" / raw[titles[f"{n:03}"]]["file"]).read_bytes()
        assert content == server.files[paths[n]]
    assert server.files[paths[3]] == changed
    assert world.apart(server) >= 0.999
    held = [one.time for one in server.asked(paths[1])]
    assert held[1] - held[0] >= 9
    assert len(list((tmp_path / "out" / "media").iterdir())) == 5
    done = {path: len(server.asked(path)) for path in paths[:5]}
    again, same = run(tmp_path / "out", server, *paths)
    assert (again.fetched, same) == (0, raw)
    assert {path: len(server.asked(path)) for path in paths[:5]} == done


def test_an_archive_is_read_and_written(server, tmp_path):
    paths = world.films(server, 2)
    archive = tmp_path / "archive.txt"
    archive.write_text("generic 000\nyoutube xyz\n")
    cfg = YtDlp(archive=str(archive))
    summary, raw = run(tmp_path / "out", server, *paths, ytdlp=cfg)
    assert dict(summary.counts) == {"done": 1, "left out": 1}
    assert [one["title"] for one in raw.values()] == ["001"]
    assert archive.read_text().split("\n") == ["generic 000", "youtube xyz", "generic 001", ""]
    again, same = run(tmp_path / "out", server, *paths, ytdlp=cfg)
    assert (again.fetched, same) == (0, raw)
    assert len(archive.read_text().split("\n")) == 4


def test_a_page_with_a_film_tells_its_title(server, tmp_path):
    (path,) = world.films(server, 1)
    page = f'<html><head><title>A dog barks</title></head><body><video src="{path}"></video></body>'
    server.files["/page"], server.types["/page"] = page.encode(), "text/html"
    _, raw = run(tmp_path / "out", server, "/page")
    (one,) = raw.values()
    assert one["title"] == "A dog barks (1)"  # the first film of the page
    assert (tmp_path / "out" / one["file"]).read_bytes() == server.files[path]
    assert (one["licence"], one["source"]) == ("", server.host)
    assert one["metadata"]["webpage_url"] == f"{server.url}/page"


def test_each_film_of_a_page_is_its_own(server, tmp_path):
    paths = world.films(server, 3)
    films = "".join(f'<p><video src="{path}"></video></p>' for path in paths)
    page = f"<html><head><title>Dogs</title></head><body>{films}</body></html>"
    server.files["/page"], server.types["/page"] = page.encode(), "text/html"
    summary, raw = run(tmp_path / "out", server, "/page")
    assert dict(summary.counts) == {"done": 3}
    titles = {one["title"]: tmp_path / "out" / one["file"] for one in raw.values()}
    assert {title: path.read_bytes() for title, path in titles.items()} == {
        f"Dogs ({n})": server.files[path] for n, path in enumerate(paths, 1)
    }
    assert len(list((tmp_path / "out" / "media").iterdir())) == 3


def test_a_licence_is_known_before_a_film_is_fetched(server, tmp_path):
    (path,) = world.films(server, 1)
    summary, raw = run(tmp_path / "out", server, path, licences=("CC0-1.0",))
    assert (raw, dict(summary.counts)) == ({}, {"left out": 1})
    summary, raw = run(tmp_path / "out", server, path, require_licence=True)
    assert (raw, dict(summary.counts)) == ({}, {"left out": 1})
    summary, raw = run(tmp_path / "out", server, path)
    assert len(raw) == 1


def test_what_is_too_large_is_not_fetched(server, tmp_path):
    (path,) = world.films(server, 1)
    summary, raw = run(tmp_path / "out", server, path, largest_mb=0.05)
    assert (raw, dict(summary.counts)) == ({}, {"refused": 1})
    assert "larger than 50,000 bytes" in " ".join(summary.reasons)
    assert list((tmp_path / "out" / "media").iterdir()) == []


def test_cookies_are_the_users(server, tmp_path):
    (path,) = world.films(server, 1)
    cookies = tmp_path / "cookies.txt"
    content = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tmine\n"
    cookies.write_text(content)
    run(tmp_path / "out", server, path, ytdlp=YtDlp(cookies=str(cookies)))
    assert {one.headers.get("Cookie") for one in server.log} == {"session=mine"}
    assert cookies.read_text() == content
    with pytest.raises(errors.ConfigError, match="there is no such file"):
        run(tmp_path / "out", server, path, ytdlp=YtDlp(cookies="nowhere.txt"))


def test_terms_are_searched_and_a_file_lists_urls(tmp_path):
    terms = world.table(tmp_path / "terms.csv", [{"term": "a dog"}, {"term": "a cat"}])
    cfg = dataclasses.replace(Collect(), terms=str(terms), per_term=5)
    origin = sources.KINDS["ytdlp"].make(sources.Given("", cfg, None, None))
    assert origin.questions() == ("ytsearch5:a dog", "ytsearch5:a cat")
    (tmp_path / "urls.txt").write_text("# mine\nhttps://a.org/1\n\nhttps://a.org/2\n")
    origin = sources.KINDS["ytdlp"].make(sources.Given(str(tmp_path / "urls.txt"), cfg, None, None))
    assert origin.questions() == ("https://a.org/1", "https://a.org/2")

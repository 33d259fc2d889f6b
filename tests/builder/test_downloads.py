"""Files over HTTP: whole or not at all, of one version, politely."""

import errno
import itertools
import random

import pytest

from lb_jax.builder import downloads
from lb_jax.builder.downloads import Client
from lb_jax.builder.hosts import Failed, Hosts, Manners, Refused
from lb_jax.core import errors
from tests.builder.loopback import Answer

CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(290_000)
PATH = "/films/a%20film.mp4"


@pytest.fixture
def client(server):
    manners = Manners(per_minute=60, tries=4, first_wait_s=1, longest_wait_s=100)
    with Client(Hosts(manners, server.clock), stall_s=2, largest_bytes=400_000) as one:
        yield one


@pytest.fixture
def fetch(server, client, tmp_path):
    def fetch(path=PATH):
        return client.file(server.url + path, tmp_path / "media" / "key")

    return fetch


def ranges(server):
    return [one.headers.get("Range") for one in server.asked(PATH)]


@pytest.fixture(autouse=True)
def quoted(server):
    """Paths as they are sent."""
    server.files[PATH] = CONTENT
    return PATH


def test_a_file_gets_its_name_when_it_is_whole(server, fetch, tmp_path):
    path = fetch()
    assert path == tmp_path / "media" / "key.mp4"
    assert path.read_bytes() == CONTENT
    assert [one.name for one in path.parent.iterdir()] == ["key.mp4"]
    assert ranges(server) == [None]


def test_faults_pass(server, fetch, quoted):
    server.faults[quoted] = [
        Answer(429, {"Retry-After": "7"}),
        Answer(500),
        Answer(503),
        Answer(cut=100_000),
        Answer(cut=50_000),
        Answer(cut=10, stall=True),
    ]
    assert fetch().read_bytes() == CONTENT
    assert server.log[1].time >= 7
    assert ranges(server) == [None] * 4 + [
        f"bytes={start}-" for start in (100_000, 150_000, 150_010)
    ]
    assert all(one.headers["Accept-Encoding"] == "identity" for one in server.log)
    times = [one.time for one in server.log]
    assert all(later - before >= 0.999 for before, later in itertools.pairwise(times))


def test_a_file_that_changes_is_no_mix(server, fetch, quoted):
    server.faults[quoted] = [Answer(cut=100_000, then=OTHER), Answer(cut=200_000)]
    assert fetch().read_bytes() == OTHER
    assert ranges(server) == [None, "bytes=100000-", "bytes=200000-"]
    assert server.log[1].headers["If-Range"] != server.log[2].headers["If-Range"]


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_version_it_begins_anew(server, fetch, quoted, etag):
    server.etags[quoted] = etag
    server.faults[quoted] = [Answer(cut=100_000, then=OTHER)]
    assert fetch().read_bytes() == OTHER
    assert ranges(server) == [None, None]


def test_another_run_goes_on(server, fetch, quoted, tmp_path):
    server.faults[quoted] = [Answer(cut=100_000), *[Answer(500)] * 4]
    with pytest.raises(Failed, match="answers 500 Internal Server Error, 4 times in a row"):
        fetch()
    assert (tmp_path / "media" / "key.partial").stat().st_size == 100_000
    assert fetch().read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=100000-"


def test_a_part_that_was_whole_needs_no_more(server, fetch, quoted, tmp_path):
    fetch().rename(tmp_path / "media" / "key.partial")
    partial = downloads.Partial(tmp_path / "media" / "key")
    etag = f'"{hash(CONTENT) & 0xFFFFFFFF:x}"'
    version = downloads.Version(server.url + quoted, etag, len(CONTENT), ".mp4")
    content = partial.path.read_bytes()
    partial.begin(version)
    partial.path.write_bytes(content)
    assert fetch().read_bytes() == CONTENT
    assert ranges(server) == [None, f"bytes={len(CONTENT)}-"]


def test_a_part_that_was_not_asked_for_is_not_taken(server, fetch, quoted):
    wrong = Answer(206, {"Content-Range": f"bytes 5-9/{len(CONTENT)}"}, b"wrong")
    server.faults[quoted] = [Answer(cut=100_000), wrong, wrong]
    assert fetch().read_bytes() == CONTENT


def test_a_file_that_changes_at_each_request_ends(server, fetch, quoted):
    contents = [random.Random(n).randbytes(1000) for n in range(20)]
    server.faults[quoted] = [Answer(cut=100 + n, then=one) for n, one in enumerate(contents)]
    with pytest.raises(Failed, match="4 times in a row"):
        fetch()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(404), "answers 404 Not Found"),
        (Answer(403, {"Retry-After": "5"}), "answers 403"),
        (Answer(headers={"Content-Type": "text/html; charset=utf-8"}), "is a web page"),
        (Answer(headers={"Content-Encoding": "gzip"}), "comes as gzip"),
        (Answer(headers={"Content-Length": "500000"}), "is larger than 400,000 bytes"),
    ],
)
def test_what_cannot_be_had_is_not_asked_again(server, fetch, quoted, answer, told):
    server.faults[quoted] = [answer]
    with pytest.raises(Refused, match=told):
        fetch()
    assert len(server.log) == 1


def test_a_type_names_what_a_url_does_not(server, fetch):
    server.files["/download"], server.types["/download"] = b"sound", "audio/ogg"
    assert fetch("/download").name == "key.ogg"
    assert downloads.ending("http://a.org/a.PHP", "video/mp4") == ".mp4"
    assert downloads.ending("http://a.org/a", "") == ".bin"


def test_an_empty_file_is_one(server, fetch):
    server.files["/empty.mp4"] = b""
    assert fetch("/empty.mp4").read_bytes() == b""


def test_a_full_disk_stops_it(fetch, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads.Partial, "begin", full)
    with pytest.raises(errors.DataError, match="its disk is full") as caught:
        fetch()
    assert not isinstance(caught.value, (Failed, Refused))


def test_hosts_that_are_none_are_told(client, tmp_path):
    for wrong in ("nothing", "ftp://127.0.0.1/x", "http://[::1/x"):
        with pytest.raises(Refused, match="is no URL"):
            client.file(wrong, tmp_path / "key")
    with pytest.raises(Failed, match="cannot be reached"):
        client.file("http://127.0.0.1:9/x.mp4", tmp_path / "key")


def test_json_is_asked_likewise(server, client):
    server.calls["/api"] = lambda request: (200, {"asked": request.query})
    server.faults["/api"] = [Answer(500), Answer(429, {"Retry-After": "1"})]
    assert client.json(f"{server.url}/api", {"q": "a b"}) == {"asked": {"q": "a b"}}
    with pytest.raises(Refused, match="something else than JSON"):
        client.json(server.url + PATH)

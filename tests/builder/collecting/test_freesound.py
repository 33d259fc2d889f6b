"""Freesound by its API: what it answers (freesound.org/docs/api), also where it is busy."""

import dataclasses
import math

import pytest

from lb_jax.builder.collecting.settings import Freesound
from lb_jax.core import errors
from tests.builder.collecting import world
from tests.builder.loopback import Answer
from tests.media import media_files

TOKEN = "not-a-real-key"
THROTTLED = b'{"detail": "Request was throttled because of exceeding a request limit rate"}'
LICENCES = (
    "http://creativecommons.org/publicdomain/zero/1.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "http://creativecommons.org/licenses/by-nc/3.0/",
    "http://creativecommons.org/licenses/sampling+/1.0/",
)
SOUND = media_files.sound(media_files.noise(16000), 16000)


def sound(server, number):
    """A result of a search."""
    where = f"{server.url}/data/previews/0/{number}_1-hq"
    return {
        "id": number,
        "name": f"Dog_bark-{number}.wav",
        "tags": ["dog", "field-recording"],
        "description": "A dog barks",
        "license": LICENCES[number % 4],
        "username": "somebody",
        "url": f"https://freesound.org/people/somebody/sounds/{number}/",
        "duration": 3.2,
        "created": "2014-04-16T20:07:11.145",
        "type": "wav",
        "previews": {
            "preview-hq-mp3": f"{where}.mp3",
            "preview-hq-ogg": f"{where}.ogg",
            "preview-lq-mp3": f"{where}.mp3".replace("-hq", "-lq"),
            "preview-lq-ogg": f"{where}.ogg".replace("-hq", "-lq"),
        },
    }


@pytest.fixture
def freesound(server, monkeypatch):
    """Sounds by term, and the API's answers."""
    monkeypatch.setenv("FREESOUND_API_KEY", TOKEN)
    by_term = {"dog": list(range(1, 8)), "bark": [6, 7, 8, 9], "silence": []}

    def answer(request):
        if request.headers.get("Authorization") != f"Token {TOKEN}":
            return 401, {"detail": "Invalid token"}
        found = by_term[request.query["query"]]
        size, page = int(request.query["page_size"]), int(request.query["page"])
        pages = max(1, math.ceil(len(found) / size))
        if page > pages:
            return 404, {"detail": "Not found"}
        results = [sound(server, n) for n in found[(page - 1) * size : page * size]]
        fields = request.query["fields"].split(",")
        assert set(results[0] if results else fields) == set(fields)
        following = f"{server.url}/apiv2/search/?page={page + 1}" if page < pages else None
        return 200, {"count": len(found), "next": following, "previous": None, "results": results}

    server.calls["/apiv2/search/"] = answer
    for number in range(1, 10):
        path = f"/data/previews/0/{number}_1-hq.ogg"
        server.files[path] = SOUND + bytes([number]) * 50_000
        server.types[path] = "audio/ogg"
    return dataclasses.replace(Freesound(), url=f"{server.url}/apiv2")


@pytest.fixture
def terms(tmp_path):
    return str(world.table(tmp_path / "terms.csv", [{"term": "dog"}, {"term": "bark"}]))


def run(out, server, freesound, terms, *sources, **changes):
    sources = sources or ("freesound",)
    return world.run(out, server, *sources, freesound=freesound, terms=terms, **changes)


def test_sounds_of_terms_are_fetched_once(server, tmp_path, freesound, terms):
    previews = "/data/previews/0/{}_1-hq.ogg".format
    server.faults = {
        "/apiv2/search/": [Answer(429, body=THROTTLED), Answer(500)],
        previews(2): [Answer(cut=10_000)],
        previews(3): [Answer(429, {"Retry-After": "20"}, THROTTLED)],
        previews(4): [Answer(cut=10_000, then=SOUND * 3)],
        previews(5): [Answer(cut=10, stall=True)],
    }
    summary, raw = run(tmp_path / "out", server, freesound, terms, per_term=5)
    assert sorted(raw) == [f"freesound-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert summary.fetched == 9
    for n in range(1, 10):
        one = raw[f"freesound-{n}"]
        assert (tmp_path / "out" / one["file"]).read_bytes() == server.files[previews(n)]
        assert one["title"] == f"Dog bark {n} #dog #field-recording"
        assert one["source"] == "freesound"
        assert one["metadata"]["username"] == "somebody"
    assert [raw[f"freesound-{n}"]["licence"] for n in (4, 5, 6, 7)] == [
        *("CC0-1.0", "CC-BY-4.0", "CC-BY-NC-3.0", "CC-SAMPLING+-1.0")
    ]
    assert server.sent == {previews(n): 1 for n in range(1, 10)}
    assert world.apart(server) >= 0.999
    searches = server.asked("/apiv2/search/")
    assert [one.query["query"] for one in searches] == ["dog"] * 3 + ["bark"]
    assert {one.query["filter"] for one in searches} == {"duration:[2 TO 20]"}
    # the key goes to the API alone
    assert all("Authorization" not in one.headers for one in server.log if "/data/" in one.path)
    asked = len(server.log)
    again, same = run(tmp_path / "out", server, freesound, terms, per_term=5)
    assert (again.fetched, same, len(server.log)) == (0, raw, asked)


def test_a_search_goes_from_page_to_page(server, tmp_path, freesound, terms, monkeypatch):
    from lb_jax.builder.collecting import freesound as origin

    monkeypatch.setattr(origin, "PAGE", 3)
    _, raw = run(tmp_path / "out", server, freesound, "", "freesound=dog", per_term=7)
    assert len(raw) == 7
    assert [one.query["page"] for one in server.asked("/apiv2/search/")] == ["1", "2", "3"]
    _, raw = run(tmp_path / "less", server, freesound, "", "freesound=dog", per_term=4)
    assert len(raw) == 4
    _, raw = run(tmp_path / "none", server, freesound, "", "freesound=silence")
    assert raw == {}


def test_a_busy_api_costs_this_run_alone(server, tmp_path, freesound, terms):
    server.faults["/apiv2/search/"] = [Answer(500)] * 4
    first, raw = run(tmp_path / "out", server, freesound, terms)
    assert list(first.unanswered) == ["freesound: dog"]
    assert sorted(raw) == [f"freesound-{n}" for n in (6, 7, 8, 9)]
    second, raw = run(tmp_path / "out", server, freesound, terms)
    assert (second.unanswered, len(raw)) == ({}, 9)
    assert [one.query["query"] for one in server.asked("/apiv2/search/")] == [
        *(["dog"] * 4),
        "bark",
        "dog",
    ]


def test_licences_are_filtered(server, tmp_path, freesound, terms):
    _, raw = run(tmp_path / "out", server, freesound, terms, licences=("CC0-1.0",))
    assert sorted(raw) == ["freesound-4", "freesound-8"]


def test_a_key_is_needed(server, tmp_path, freesound, terms, monkeypatch):
    monkeypatch.setenv("FREESOUND_API_KEY", "wrong")
    with pytest.raises(errors.ConfigError, match="does not take the key in FREESOUND_API_KEY"):
        run(tmp_path / "out", server, freesound, terms)
    monkeypatch.delenv("FREESOUND_API_KEY")
    with pytest.raises(errors.ConfigError, match="freesound needs a key in the environment"):
        run(tmp_path / "out", server, freesound, terms)


def test_terms_are_needed(server, tmp_path, freesound):
    with pytest.raises(errors.ConfigError, match=r"config.collect.terms is missing"):
        run(tmp_path / "out", server, freesound, "")
    wrong = world.table(tmp_path / "wrong.csv", [{"trem": "dog"}])
    with pytest.raises(errors.DataError, match="Did you mean 'trem'"):
        run(tmp_path / "out", server, freesound, str(wrong))

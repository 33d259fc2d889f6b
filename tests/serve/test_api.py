"""The API against `model.embed`, and every refusal."""

import base64
import concurrent.futures
import gzip
import json
import signal
import subprocess
import sys

import httpx
import numpy as np
import psutil
import pytest

from lb_jax.cli import serve
from lb_jax.core import errors
from tests import goldens
from tests.serve import client, hostile
from tests.serve.client import CONTENT, error

JSON = {"content-type": "application/json"}
TOKEN = "geheim-à"
LONG = ["A dog runs on a beach. " * 100, "語" * 300, "a cat"]
BEARER = f"Bearer {TOKEN}".encode()


def test_every_modality_equals_the_model(server, model):
    for modality, data in CONTENT.items():
        found = server.vectors(server.embed([(modality, data)]))
        np.testing.assert_allclose(found, model.embed(modality, [data]), atol=1e-5)
    found = server.http.post("/v1/embeddings", json={"input": "a cat"})
    np.testing.assert_allclose(server.vectors(found), model.embed("text", ["a cat"]), atol=1e-5)


def test_long_texts_are_the_means_of_their_windows(server, model):
    texts = [*LONG, *(f"text {number}" for number in range(2045))]
    answer = server.http.post("/v1/embeddings", json={"input": texts})
    found = server.vectors(answer)
    assert len(found) == 2048
    np.testing.assert_allclose(found[:9], model.embed("text", texts[:9]), atol=1e-5)
    np.testing.assert_allclose(found[-1:], model.embed("text", texts[-1:]), atol=1e-5)
    alone = server.http.post("/v1/embeddings", json={"input": "a cat!"}).json()
    assert alone["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_order_of_a_mix_is_kept(server, model):
    order = ["audio", "image", "video", "image", "depth", "thermal"]
    answer = server.embed([(name, CONTENT[name]) for name in order], ["a cat", "a dog"])
    assert [row["modality"] for row in answer.json()["data"]] == [*order, "text", "text"]
    assert [row["index"] for row in answer.json()["data"]] == list(range(8))
    expected = [model.embed(name, [CONTENT[name]])[0] for name in order]
    expected += list(model.embed("text", ["a cat", "a dog"]))
    np.testing.assert_allclose(server.vectors(answer), expected, atol=1e-5)


def test_json_takes_media_and_gives_base64(server, model):
    given = ["a cat", {"type": "image", "data": client.base64_of(CONTENT["image"])}]
    null = server.http.post("/v1/embeddings", json={"input": "a cat", "encoding_format": None})
    np.testing.assert_allclose(server.vectors(null), model.embed("text", ["a cat"]), atol=1e-5)
    answer = server.http.post(
        "/v1/embeddings",
        json={
            "input": given,
            "encoding_format": "base64",
            "dimensions": model.config.text.embed_dim,
        },
    ).json()
    assert answer["object"] == "list"
    assert answer["usage"]["prompt_tokens"] == 4
    found = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in answer["data"]]
    np.testing.assert_allclose(found[0], model.embed("text", ["a cat"])[0], atol=1e-5)
    np.testing.assert_allclose(found[1], model.embed("image", [CONTENT["image"]])[0], atol=1e-5)


def test_parts_of_a_message_are_taken(server, model):
    picture, sound = (client.base64_of(CONTENT[name]) for name in ("image", "audio"))
    given = [
        {"type": "text", "text": "a cat"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "image_url", "image_url": f"data:;base64,{picture}"},
        {"type": "image", "data": f"DATA:image/png;name=a;base64,{picture}"},
        {"type": "audio_url", "audio_url": {"url": f"data:audio/wav;base64,{sound}"}},
    ]
    found = server.vectors(server.http.post("/v1/embeddings", json={"input": given}))
    image = model.embed("image", [CONTENT["image"]])[0]
    sound = model.embed("audio", [CONTENT["audio"]])[0]
    expected = [model.embed("text", ["a cat"])[0], image, image, image, sound]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    page = {"type": "image_url", "image_url": f"data:text/html;base64,{picture}"}
    answer = server.http.post("/v1/embeddings", json={"input": [page]})
    assert "text/html" in error(answer, 415, "unsupported_content_type")


def test_answers_of_many_clients_are_not_mixed_up(server, model):
    names = list(CONTENT)
    expected = {name: model.embed(name, [CONTENT[name]])[0] for name in names}

    def ask(number):
        name = names[number % len(names)]
        answer = server.embed([(name, CONTENT[name])])
        return name, server.vectors(answer)[0]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for name, vector in pool.map(ask, range(40)):
            np.testing.assert_allclose(vector, expected[name], atol=1e-5)


def listed(one, count):
    """A body whose input is a list of the same."""
    return b'{"input":[' + b",".join([one] * count) + b"]}"


JSON_MISTAKES = {
    "no json": (b"[1", "no JSON"),
    "no object": (b"[]", "no JSON object"),
    "nothing": (b"{}", "nothing to embed"),
    "deep": (b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
    "tokens": (b'{"input":[[1,2]]}', "tokens are not taken, texts are"),
    "empty text": (b'{"input":["a"," "]}', "input 1 is empty"),
    "tokens of a text": (b'{"input":[1,2]}', "check_embedding_ctx_length=False"),
    "long text": (b'{"input":"' + b"a " * 50_001 + b'"}', "has 100002 characters"),
    "long texts": (listed(b'"' + b"a" * 99_999 + b'"', 11), "1099989 characters together"),
    "many texts": (listed(b'"a"', 2049), "2049 inputs, expected at most 2048"),
    "url": (
        b'{"input":[{"type":"image_url","image_url":{"url":"http://127.0.0.1/a.png"}}]}',
        "is not fetched",
    ),
    "url in a field": (
        b'{"input":[{"type":"image_url","image_url":"a","detail":"low"}]}',
        "no paths and no URLs",
    ),
    "url as text": (b'{"input":"data:image/png;base64,AAAA"}', "is a data URL and no text"),
    "data url without base64": (
        b'{"input":[{"type":"image_url","image_url":"data:image/png,a"}]}',
        "expected data:TYPE;base64,DATA",
    ),
    "path": (b'{"input":[{"type":"image","path":"/etc/passwd"}]}', "no paths and no URLs"),
    "data url": (b'{"input":[{"type":"image","data":"data:image/png;base64,aa"}]}', "no base64"),
    "no base64": (b'{"input":[{"type":"image","data":"a?"}]}', "no base64"),
    "half a character": (b'{"input":[{"\\ud800":1}]}', r"the fields '\ud800'"),
    "no number": (b'{"input":"a","user":NaN}', "no JSON: it holds NaN"),
    "endless": (b'{"input":"a","dimensions":-Infinity}', "no JSON: it holds -Infinity"),
    "format": (b'{"input":"a","encoding_format":"int8"}', "expected float or base64"),
    "dimensions": (b'{"input":"a","dimensions":3}', "dimensions is 3"),
    "number as text": (b'{"input":"a","dimensions":"3"}', "expected a whole number"),
    "user": (b'{"input":"a","user":3}', "user is '3'; expected a string"),
    "unknown field": (b'{"input":"a","inptu":1}', "no field 'inptu'"),
}


@pytest.mark.parametrize("name", JSON_MISTAKES)
def test_bad_json_is_told(server, name):
    body, says = JSON_MISTAKES[name]
    answer = server.http.post("/v1/embeddings", content=body, headers=JSON)
    assert says in error(answer, 400, "bad_request")


def test_bad_forms_are_told(server):
    post = server.http.post
    where = "/v1/embeddings"
    says = error(post(where, files=[("image", (None, "file:///etc/passwd"))]), 400, "bad_request")
    assert "no paths and no URLs" in says
    says = error(server.embed([("picture", CONTENT["image"])]), 400, "bad_request")
    assert "a file's field is its modality" in says
    says = error(server.embed([("image", b"")] * 2049), 400, "bad_request")
    assert "Maximum number of files is 2048" in says
    says = error(server.embed([], ["a"] * 2100), 400, "bad_request")
    assert "form cannot be read" in says
    says = error(server.embed([], ["a"], dimensions=""), 400, "bad_request")
    assert "expected a whole number" in says
    page = [("image", ("a.html", b"<html>", "text/html"))]
    assert "text/html" in error(post(where, files=page), 415, "unsupported_content_type")
    answer = post(where, content=b"a", headers={"content-type": "text/plain"})
    assert "text/plain" in error(answer, 415, "unsupported_content_type")
    packed = {**JSON, "content-encoding": "gzip"}
    answer = post(where, content=gzip.compress(b'{"input":"a"}'), headers=packed)
    assert "is compressed ('gzip')" in error(answer, 415, "unsupported_content_type")
    broken = {"content-type": "multipart/form-data"}
    says = error(post(where, content=b"a", headers=broken), 400, "bad_request")
    assert not says.endswith("..")
    error(post(where, json={"input": "a", "model": "gpt"}), 404, "model_not_found")


def test_routes_are_told(server):
    error(server.http.get("/v1/nothing"), 404, "not_found")
    for method in ("PUT", "OPTIONS", "TRACE"):
        answer = server.http.request(method, "/v1/embeddings")
        error(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"
        assert server.http.request(method, "/nope").json().keys() == {"error"}
    assert server.http.head("/v1/embeddings").status_code == 405
    for path in ("/v1/models", "/healthz", "/metrics", "/docs", "/openapi.json"):
        answer = server.http.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
    for path in ("/v1", "/media"):  # no redirection to what is not there
        error(server.http.post(path), 404, "not_found")
    error(server.http.get("/nope"), 404, "not_found")
    answer = server.http.get("/media/0123/thumbnail?start_s=abc")
    assert error(answer, 400, "bad_request").startswith("start_s: ")
    error(server.http.get("/media/0123"), 404, "not_found")
    error(server.http.get("/media/..%2f..%2fetc%2fpasswd"), 404, "not_found")
    assert server.http.get("/healthz").json() == {"status": "ok"}
    assert "/v1/embeddings" in server.http.get("/openapi.json").json()["paths"]
    docs = server.http.get("/docs")
    assert "/v1/search" in docs.text
    assert "https://" not in docs.text
    row, _ = server.http.get("/v1/models").json()["data"]
    assert row["dimensions"] > 0
    assert server.http.get(f"/v1/models/{row['id']}").json() == row
    error(server.http.get("/v1/models/of/another"), 404, "model_not_found")
    foreign = server.http.get("/healthz", headers={"host": "elsewhere.example"})
    error(foreign, 403, "forbidden_host")


def test_hostile_files_are_refused_and_others_answered(server, model):
    names = {
        "bomb": [("image", hostile.bomb())],
        "array bomb": [("depth", hostile.array_bomb())],
        "empty": [("audio", b"")],
        "another kind": [("video", CONTENT["image"])],
        "playlist": [("video", hostile.playlists(server.url)[0])],
        "playlist of a file": [("video", hostile.playlists(server.url)[1])],
        "list of files": [("audio", hostile.playlists(server.url)[2])],
        "one of two": [("image", CONTENT["image"]), ("image", CONTENT["image"][:99])],
    }
    for name, files in names.items():
        says = error(server.embed(files), 422, "undecodable_media")
        assert says.startswith(f"input {len(files) - 1} ("), name
    says = error(server.embed([("video", hostile.long_clip())]), 413, "media_too_long")
    assert "36000 s by its header" in says
    part = [("image", ("../../../etc/passwd", CONTENT["image"], "image/png"))]
    says = error(server.http.post("/v1/embeddings", files=part), 400, "bad_request")
    assert "its name is a path" in says


def test_large_bodies_are_refused_announced_or_not(server):
    much = bytes(1 << 20)
    for content in (much * 65, (much for _ in range(65))):
        answer = server.http.post("/v1/embeddings", content=content, headers=JSON)
        assert "larger than 64 MiB" in error(answer, 413, "too_large")


def test_search_finds_what_is_stored(server, model, store):
    for modality, data in CONTENT.items():
        part = [(modality, ("query", data, "application/octet-stream")), ("k", (None, "5"))]
        found = server.http.post("/v1/search", files=[*part, ("modality", (None, modality))]).json()
        (row,) = found["data"]
        assert row["modality"] == modality
        assert row["cosine"] == pytest.approx(1, abs=1e-4)
        link = row["media"].partition("#")[0]
        assert server.http.get(link).content == data
        ranged = server.http.get(link, headers={"range": "bytes=2-5"})
        assert (ranged.status_code, ranged.content) == (206, data[2:6])
        beyond = server.http.get(link, headers={"range": f"bytes={len(data)}-"})
        error(beyond, 416, "no_such_range")
        assert beyond.headers["content-range"] == f"bytes */{len(data)}"
        picture = server.http.get(f"{link}/thumbnail")
        assert (picture.status_code == 200) == (modality != "audio")
    timed = {"query": "a cat", "modality": ["video", "audio", "image"], "after_s": 0.9, "k": 9}
    rows = server.http.post("/v1/search", json=timed).json()["data"]
    assert {row["modality"] for row in rows} == {"video", "audio"}
    assert all(row["media"].endswith("#t=0.5,1") for row in rows)
    elsewhere = {"query": "a cat", "under": "/nowhere"}
    assert server.http.post("/v1/search", json=elsewhere).json()["data"] == []
    below = {"query": "a cat", "under": f"{store.parent}/a/../"}
    assert len(server.http.post("/v1/search", json=below).json()["data"]) == len(CONTENT)
    for under in ("", "media", "/\ud800", "/\0"):
        body = json.dumps({"query": "a", "under": under})
        answer = server.http.post("/v1/search", content=body, headers=JSON)
        assert error(answer, 400, "bad_request").startswith("under is ")
    error(server.http.post("/v1/search", json={"query": "a", "k": 0}), 400, "bad_request")
    error(server.http.post("/v1/search", json={"query": "a", "modality": "x"}), 400, "bad_request")
    error(server.http.post("/v1/search", json={}), 400, "bad_request")


def test_search_is_by_vectors_or_captions_or_both_as_the_command_has_it(server, calibrated):
    def ask(server=server, **fields):
        return server.http.post("/v1/search", json={"query": "noise", "k": 9} | fields)

    both, vector = ask(query="a pattern").json(), ask(query="a pattern", by="vector").json()
    assert (both["by"], vector["by"]) == ("both", "vector")
    assert ask(query="a pattern", by="both").json() == both
    for found in (both, vector):
        told = {row["modality"]: row["caption"] for row in found["data"]}
        assert told == {name: client.CAPTIONS.get(name) for name in CONTENT}
    (only,) = ask(query="pattern", by="caption").json()["data"]
    cosines = {row["modality"]: row["cosine"] for row in ask(query="pattern").json()["data"]}
    assert only["modality"] == "video"
    assert only["cosine"] == pytest.approx(cosines["video"], abs=1e-5)

    picture = {"type": "image", "data": client.base64_of(CONTENT["image"])}
    like = ask(query=None, input=picture).json()
    assert like["by"] == "vector"
    says = error(ask(query=None, input=picture, by="both"), 400, "bad_request")
    assert "ranking by both looks for words in captions; give a sentence" in says
    assert "expected vector, caption, both" in error(ask(by="words"), 400, "bad_request")
    assert ask(calibrated).json()["by"] == "vector"
    says = error(ask(calibrated, by="caption"), 501, "no_captions")
    assert says.startswith("The store holds no captions; `lb-jax index build")


def test_a_store_that_was_moved_away_is_told(server, store):
    away = store.rename(store.with_name("away"))
    answer = server.http.post("/v1/search", json={"query": "a cat"})
    away.rename(store)
    says = error(answer, 503, "store_unavailable")
    assert says.startswith("The store: ")
    assert str(store) not in says
    assert server.http.post("/v1/search", json={"query": "a cat"}).status_code == 200


def test_the_page_refuses_files_that_are_none(server):
    functions = server.http.get("/config").json()
    zone = next(
        one["id"] for one in functions["components"] if one["props"].get("elem_id") == "zero-file"
    )
    number = next(one["id"] for one in functions["dependencies"] if one["inputs"] == [zone])
    meta = {"_type": "gradio.FileData"}
    for file in (
        {"path": 3},
        {"path": "/etc/passwd", "meta": meta},
        "a",
        {"path": 3, "meta": meta},
    ):
        told = {"data": [file], "fn_index": number, "session_hash": "a"}
        sent = server.http.post("/gradio_api/queue/join", json=told)
        assert sent.status_code == 200, sent.text
        with server.http.stream("GET", "/gradio_api/queue/data?session_hash=a") as events:
            heard = "".join(events.iter_text())
        assert "The page does not take what was sent" in heard, (file, heard)
        assert "lb_jax-serve-" not in heard


def test_a_bound_or_name_that_cannot_be_is_refused():
    for given, says in (
        ("--max-inputs=0", r"^--max-inputs is 0; expected above 0"),
        ("--max-characters=100001", "^--max-characters is 100001; the tokenizer takes 100000"),
        ("--name= ", "^--name is ' '"),
    ):
        with pytest.raises(errors.ConfigError, match=says):
            serve.main([given])


@pytest.mark.parametrize("token", [" secret", "secret\t", "sec\nret", "sec\udc80ret"])
def test_a_token_that_no_header_carries_is_refused(token):
    with pytest.raises(errors.ConfigError, match=r"^--token has blanks"):
        serve.main(["--token", token])


def test_a_missing_model_is_told_in_one_line():
    command = [sys.executable, "-m", "lb_jax.cli.main", "serve", "--port=0", "--no-page"]
    ended = subprocess.run(
        [*command, "--model=nope"], cwd=goldens.ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    loading, told = ended.stderr.splitlines()
    assert loading == "lb-jax serve: loading nope"
    assert "nope" in told


def test_metrics_count(server):
    server.http.post("/v1/embeddings", json={"input": "a cat"})
    server.embed([("image", b"no picture")])
    text = server.http.get("/metrics").text
    for line in (
        'lb_jax_requests_total{route="/v1/embeddings",method="POST",status="200"}',
        'lb_jax_request_seconds_bucket{route="/v1/embeddings",le="+Inf"}',
        'lb_jax_decode_failures_total{modality="image",code="undecodable_media"}',
        'lb_jax_batch_items_count{modality="text"}',
        "lb_jax_items_in_flight 0",
        "lb_jax_queue_items 0",
    ):
        assert line in text


def test_token_queue_and_graceful_stop(folder, model):
    """A second server: few items at once, a token, and its end."""
    few = ("--max-queue=2", "--max-inputs=3", "--workers=1")
    arguments = (f"--model={folder}", "--name=our/model", "--no-page", *few)
    with client.serving(*arguments, LB_JAX_TOKEN=TOKEN) as server:
        assert server.http.get("/healthz").status_code == 200
        for wrong in ({}, {"authorization": "Bearer other"}, {"cookie": "lb_jax_session=1"}):
            answer = server.http.get("/v1/models", headers=wrong)
            error(answer, 401, "unauthorized")
        page = server.http.get("/docs", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert server.http.post("/login", data={"token": "other"}).status_code == 401
        entered = server.http.post("/login", data={"token": TOKEN})
        assert entered.status_code == 303  # the client keeps the cookie
        assert server.http.get("/v1/models").status_code == 200
        for path in ("our/model", "our%2Fmodel"):
            assert server.http.get(f"/v1/models/{path}").json()["id"] == "our/model"
        server.http.cookies.clear()
        server.http.headers = [*server.http.headers.raw, (b"authorization", BEARER)]

        says = error(server.embed(texts=["a"] * 4), 400, "bad_request")
        assert "The request has 4 inputs, expected at most 3" in says
        found = server.vectors(server.embed(texts=LONG))  # more than there are places
        np.testing.assert_allclose(found, model.embed("text", LONG), atol=1e-5)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            waiting = [pool.submit(server.embed, [("video", CONTENT["video"])]) for _ in range(12)]
            answers = [one.result() for one in waiting]
        statuses = {answer.status_code for answer in answers}
        assert statuses == {200, 429}
        busy = next(answer for answer in answers if answer.status_code == 429)
        assert busy.headers["retry-after"]
        error(busy, 429, "busy")

        family = psutil.Process(server.process.pid).children(recursive=True)
        part = {"video": ("a.mp4", CONTENT["video"])}
        whole = httpx.Request("POST", "http://a", files=part)
        body = whole.read()

        def stop_half_way():
            yield body[:100]
            while "lb_jax_requests_in_flight 1" not in server.http.get("/metrics").text:
                pass
            server.process.send_signal(signal.SIGTERM)
            yield body[100:]

        headers = {name: whole.headers[name] for name in ("content-type", "content-length")}
        answer = server.http.post("/v1/embeddings", content=stop_half_way(), headers=headers)
        found = server.vectors(answer)
        np.testing.assert_allclose(found, model.embed("video", [CONTENT["video"]]), atol=1e-5)
        assert server.process.wait(60) == 0
        gone, alive = psutil.wait_procs(family, 30)
        assert len(gone) >= 3
        assert alive == []
        with pytest.raises(httpx.TransportError):
            server.http.get("/healthz")

"""`/v1/captions` against the model that writes, and every refusal."""

import json

import pytest

from lb_jax.core import errors
from lb_jax.inference import valor
from lb_jax.serve import captions, engine, run
from lb_jax.serve.limits import Limits
from tests.inference import valor_models
from tests.media import media_files
from tests.serve import client, hostile
from tests.serve.client import CONTENT, error

JSON = {"content-type": "application/json"}
LOUD = media_files.clip(sound=True)
PICTURE = media_files.picture(media_files.scene())
FILES = [("video", LOUD), ("video", CONTENT["video"]), ("image", PICTURE)]
FILES += [("audio", CONTENT["audio"]), ("audio", LOUD)]
GROUPS = ["tva", "tv", "tv", "ta", "ta"]
QUESTION = "What is seen?"


@pytest.fixture(scope="module")
def writer(captioner):
    return valor.load(captioner, batch_size=captions.SIZE)


def ask(server, files=(), **fields):
    """Posts a form of (modality, bytes) and fields."""
    parts = [(name, (f"{name}.bin", data, "application/octet-stream")) for name, data in files]
    parts += [(name, (None, str(value))) for name, value in fields.items()]
    return server.http.post("/v1/captions", files=parts)


def texts(answer):
    """What was written."""
    assert answer.status_code == 200, answer.text
    return [row["text"] for row in answer.json()["data"]]


def test_captions_are_those_of_the_model_by_what_each_file_has(server, writer):
    answer = ask(server, FILES)
    expected = [writer.caption(name, [data])[0] for name, data in FILES]
    assert texts(answer) == expected
    assert len(set(expected)) > 2
    told = answer.json()
    assert told["model"] == "writer"
    assert [row["object"] for row in told["data"]] == ["caption"] * 5
    assert [row["group"] for row in told["data"]] == GROUPS
    assert [row["modality"] for row in told["data"]] == [name for name, _ in FILES]
    assert [row["index"] for row in told["data"]] == list(range(5))


def test_a_question_a_group_and_a_beam_are_heard(server, writer):
    answer = ask(server, FILES[:2], question=QUESTION, group="tv", beam=3)
    films = [data for _, data in FILES[:2]]
    assert texts(answer) == writer.answer(films, QUESTION, group="tv", beam=3)
    assert {row["object"] for row in answer.json()["data"]} == {"answer"}
    assert texts(ask(server, FILES, question=QUESTION)) == [
        writer.answer([data], QUESTION, group=name)[0] for name, data in FILES
    ]
    greedy = writer.caption("tva", [LOUD], beam=1)
    one = {"type": "video", "data": client.base64_of(LOUD)}
    part = {"type": "video_url", "video_url": f"data:;base64,{one['data']}"}
    fields = {"model": "writer", "group": None, "question": None, "beam": 1}
    for given in (one, [one], [part]):
        found = server.http.post("/v1/captions", json={"input": given, **fields})
        assert texts(found) == greedy


def test_embeddings_and_captions_go_through_one_engine(server, writer, model):
    many = ask(server, [("video", LOUD)] * 40)  # more than places, and than a program takes
    assert texts(many) == writer.caption("video", [LOUD]) * 40
    found = server.vectors(server.embed(texts=["a cat"]))
    assert found == pytest.approx(model.embed("text", ["a cat"]), abs=1e-5)
    metrics = server.http.get("/metrics").text
    for line in (
        'lb_jax_requests_total{route="/v1/captions",method="POST",status="200"}',
        'lb_jax_written_items_count{group="tva"}',
        'lb_jax_decode_seconds_count{modality="video"}',
    ):
        assert line in metrics


MISTAKES = {
    "nothing": ({}, "There is nothing to write about"),
    "text": ({"input": "a cat"}, "input 0 is of text; captions and answers are of audio, image"),
    "group": ({"group": "tav"}, "group is 'tav'; the captioner has tva, tv, ta"),
    "view": ({"group": "video"}, "group is 'video'; the captioner has"),
    "beam": ({"beam": 2}, "beam is 2; expected 1 or 3"),
    "no question": ({"question": " ?!"}, "question is empty after cleaning"),
    "characters": ({"question": "a" * 100_001}, "question has 100001 characters, expected at"),
    "unknown field": ({"beams": 1}, "no field 'beams'; expected model, input, group, question"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told(server, name):
    given, says = MISTAKES[name]
    one = {"type": "image", "data": client.base64_of(PICTURE)}
    body = json.dumps(({"input": one} if given else {}) | given)
    answer = server.http.post("/v1/captions", content=body, headers=JSON)
    assert says in error(answer, 400, "bad_request")


def test_what_cannot_be_written_about_is_told_and_the_rest_goes_on(server, writer):
    silent = error(ask(server, [FILES[0], FILES[1]], group="tva"), 422, "missing_modality")
    assert silent.startswith("input 1 (video, 'video.bin'): is a film without a sound track, and")
    sound = error(ask(server, [("video", CONTENT["audio"])]), 422, "missing_modality")
    assert "has audio, and tva needs video and audio" in sound
    for data in (b"no film", hostile.playlists(server.url)[0], hostile.bomb()):
        error(ask(server, [("video", data)]), 422, "undecodable_media")
    error(ask(server, [("audio", b"")]), 422, "undecodable_media")
    broken = error(ask(server, [("image", b"no picture")]), 422, "undecodable_media")
    assert "'image.bin'): is not a readable image; expected jpg" in broken
    error(ask(server, [("depth", CONTENT["depth"])]), 400, "bad_request")
    error(ask(server, [("video", hostile.long_clip())]), 413, "media_too_long")
    long = error(ask(server, FILES[:1], question="a dog " * 20), 413, "too_large")
    assert "question has 40 tokens, expected at most" in long
    other = ask(server, FILES[:1], model="checkpoint")
    assert "There is no model 'checkpoint'; this is 'writer'" in error(
        other, 404, "model_not_found"
    )
    assert texts(ask(server, FILES[:1])) == writer.caption("video", [LOUD])


def test_the_models_are_listed(server, writer):
    embedding, row = server.http.get("/v1/models").json()["data"]
    assert "dimensions" in embedding
    assert row["groups"] == ["tva", "tv", "ta"]
    assert row["modalities"] == ["audio", "image", "video"]
    assert row["digest"] == writer.digest
    assert server.http.get("/v1/models/writer").json() == row


def test_without_a_captioner_it_says_so(calibrated):
    says = error(ask(calibrated, FILES[:1]), 501, "no_captioner")
    assert says.startswith("This server has no captioner; start it with `--captioner")
    assert len(calibrated.http.get("/v1/models").json()["data"]) == 1


def test_what_is_no_captioner_is_refused(folder):
    with pytest.raises(errors.ConfigError, match="gives vectors and does not write"):
        run.open_captioner(str(folder))


def test_a_model_without_sound_writes_of_what_it_sees(tmp_path):
    cfg = valor_models.changed(audio=None)
    model = valor.load(valor_models.save(tmp_path / "m", cfg), batch_size=2)
    found = captions.describe(model, "m")
    assert found.modalities == ("image", "video")
    assert [*found.views("video", None, "a")] == ["tv"]


def test_a_batch_is_written_by_group_and_beam_in_its_order(writer):
    films, sounds = ([writer.prepare(g, LOUD)] for g in ("tv", "ta"))
    prompt = captions.describe(writer, "").prompt(QUESTION, Limits())
    asked = [
        captions.Asked(captions.Seen(group, arrays[0]), question, 1)
        for group, arrays, question in (
            ("tv", films, None),
            ("ta", sounds, None),
            ("tv", films, prompt),
            ("tv", films, None),
        )
    ]
    said = captions.write_batch(writer, asked)
    assert [one.batch for one in said] == [2, 1, 1, 0]
    expected = [writer.caption(group, [LOUD], beam=1)[0] for group in ("tv", "ta")]
    answer = writer.answer([LOUD], QUESTION, group="tv")[0]
    assert [one.text for one in said] == [*expected, answer, expected[0]]
    assert engine.embed_batch([], lambda *_: []) == []

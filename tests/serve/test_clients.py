"""Clients that were not written for this server, against `model.embed`."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests import goldens
from tests.serve import client
from tests.serve.client import CONTENT

TEXTS = ["a cat", "A dog runs on a beach. " * 100, "雨"]
EXAMPLES, SEED = 10, 7  # of schemathesis, for each route
TOLERANCE = 1e-5


@pytest.fixture
def openai_client(server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_openai_gives_the_vectors_of_the_model(openai_client, model):
    name, captioner = (row.id for row in openai_client.models.list())
    assert openai_client.models.retrieve(name).owned_by == "lb-jax"
    assert openai_client.models.retrieve(captioner).id == "writer"
    expected = model.embed("text", TEXTS)
    for how in ({}, {"encoding_format": "float"}, {"dimensions": expected.shape[1], "user": "me"}):
        answer = openai_client.embeddings.create(model=name, input=TEXTS, **how)
        found = [row.embedding for row in answer.data]
        np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    picture = f"data:image/png;base64,{client.base64_of(CONTENT['image'])}"
    part = {"type": "image_url", "image_url": {"url": picture}}
    found = openai_client.embeddings.create(model=name, input=[part]).data[0].embedding
    expected = model.embed("image", [CONTENT["image"]])[0]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_openai_tells_errors_by_their_kind(openai_client):
    import openai

    create = openai_client.embeddings.create
    for given, kind, code, param in (
        ({"input": "a", "model": "of/another"}, openai.NotFoundError, "model_not_found", "model"),
        ({"input": "", "model": ""}, openai.BadRequestError, "bad_request", "input"),
        ({"input": [[1, 2]], "model": ""}, openai.BadRequestError, "bad_request", "input"),
        ({"input": "a", "model": "", "dimensions": 3}, openai.BadRequestError, "bad_request", None),
    ):
        with pytest.raises(kind) as told:
            create(**given)
        assert told.value.code == code
        assert told.value.param == (param or "dimensions")
        assert told.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError, match="There is no model 'of/another'"):
        openai_client.models.retrieve("of/another")


def test_langchain_embeds_documents_of_any_length(server, model):
    langchain_openai = pytest.importorskip("langchain_openai")
    name = server.http.get("/v1/models").json()["data"][0]["id"]
    embeddings = langchain_openai.OpenAIEmbeddings(
        base_url=f"{server.url}/v1", api_key="none", model=name, check_embedding_ctx_length=False
    )
    found = embeddings.embed_documents([*TEXTS, *("a dog" for _ in range(1000))])
    np.testing.assert_allclose(found[:3], model.embed("text", TEXTS), atol=TOLERANCE)
    assert len(found) == 1003
    np.testing.assert_allclose(
        embeddings.embed_query("a cat"), model.embed("text", ["a cat"])[0], atol=TOLERANCE
    )


def test_prometheus_reads_the_metrics(server):
    parser = pytest.importorskip("prometheus_client.parser")
    server.embed(texts=["a cat"])
    families = {
        one.name: one
        for one in parser.text_string_to_metric_families(server.http.get("/metrics").text)
    }
    assert families["lb_jax_requests"].type == "counter"
    assert families["lb_jax_request_seconds"].type == "histogram"
    assert {one.labels["modality"] for one in families["lb_jax_batch_items"].samples} >= {"text"}


def test_the_page_names_no_endpoints(server):
    gradio_client = pytest.importorskip("gradio_client")
    opened = gradio_client.Client(server.url, verbose=False)
    assert opened.view_api(return_format="dict")["named_endpoints"] == {}


def test_the_document_is_true(server, tmp_path):
    """Statuses, content types and bounds, as schemathesis tries them."""
    pytest.importorskip("schemathesis")
    config = goldens.ROOT / "tests/serve/schemathesis.toml"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", config),
            *("run", f"{server.url}/openapi.json", "--no-color", "--checks=all"),
            *("--phases=fuzzing", f"--max-examples={EXAMPLES}", f"--seed={SEED}"),
            "--generation-database=none",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(goldens.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    (count,) = re.findall(r"(\d+) generated, \1 passed", ended.stdout)
    assert int(count) >= 5 * EXAMPLES

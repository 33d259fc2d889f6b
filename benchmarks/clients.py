"""Clients that were not written for us: each does its usual work, and its vectors equal ours.

    python benchmarks/clients.py [--only openai duckdb] [--model M] [--examples 100] [--seed 7]

Starts `lb-jax serve` on a free port with a store of one file of each modality. A line of JSON for
each client: versions, figures, or what went wrong; the exit status is 1 if anything did. All of it
is in the extra `test`, transformers and sentence-transformers below Python 3.12. Another client is
a function here and its row in `CLIENTS`.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import lb_jax
from tests.serve import client

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-5
INPUTS = 2048
LONG = "A dog runs on a beach. " * 100
SUFFIXES = {"audio": ".wav", "video": ".mp4"}  # others: .png
PLAIN = ("image", "depth", "thermal")  # what CLIP's classes of transformers can hold
WHITE_M = np.float32(10)  # of depth as 8-bit pictures
TEXTS = ["A red car!", "it's raining &amp; cold", "雨 is “rain”", "a dog and two birds"]
SEED = 7


@dataclasses.dataclass
class Here:
    """What the clients work with; made when the first asks for it.

    Attributes:
      source: of the model.
      examples, seed: of schemathesis, for each route and phase.
      stack: ends what was started.
    """

    source: str
    examples: int
    seed: int
    stack: contextlib.ExitStack

    @functools.cached_property
    def model(self) -> Any:
        """The model itself."""
        return lb_jax.load(self.source)

    @functools.cached_property
    def folder(self) -> Path:
        """A folder of one's own."""
        return Path(self.stack.enter_context(tempfile.TemporaryDirectory()))

    @functools.cached_property
    def store(self) -> Path:
        """A store of one file of each modality."""
        from lb_jax.search import bulk

        media = self.folder / "media"
        media.mkdir()
        for name, data in client.CONTENT.items():
            (media / f"{name}{SUFFIXES.get(name, '.png')}").write_bytes(data)
        bulk.run([str(media)], self.source, str(self.folder / "store"))
        return self.folder / "store"

    @functools.cached_property
    def server(self) -> client.Server:
        """A server of the model and the store."""
        started = client.serving(f"--model={self.source}", f"--store={self.store}")
        return self.stack.enter_context(started)

    @functools.cached_property
    def converted(self) -> dict[str, Path]:
        """A folder that `lb-jax convert --to clip` wrote for each modality that CLIP can hold."""
        folders = {name: self.folder / name for name in PLAIN if name in self.model.modalities}
        for name, folder in folders.items():
            convert = [sys.executable, "-m", "lb_jax.cli.main", "convert", self.source, folder]
            subprocess.run([*convert, "--to=clip", f"--only={name}"], check=True, stdout=sys.stderr)
        return folders

    def picture(self, name: str) -> tuple[np.ndarray, Any]:
        """A grey picture of a tower's own size, [h, w, 3], and what ours takes for the same.

        Larger ones differ by rounding: Pillow rounds to whole numbers when it resizes.
        """
        side = self.model.config.towers[name].image_size
        grey = np.random.default_rng(SEED).integers(1, 256, (*side, 1), np.uint8)
        shown = np.tile(grey, (1, 1, 3))
        return shown, grey[..., 0] / (255 / WHITE_M) if name == "depth" else shown

    @property
    def url(self) -> str:
        """Where OpenAI's API is."""
        return f"{self.server.url}/v1"

    @functools.cached_property
    def name(self) -> str:
        """How the server calls the model."""
        return self.server.http.get("/v1/models").json()["data"][0]["id"]


def equal(found, expected) -> float:
    """The largest difference of two arrays, which is within the tolerance."""
    difference = float(np.abs(np.asarray(found, np.float64) - expected).max())
    assert difference <= TOLERANCE, f"vectors differ by {difference:.2g}"
    return float(f"{difference:.2g}")


def with_openai(here: Here) -> dict[str, Any]:
    """Texts, long texts and data URLs as floats and base64; models; errors by their class."""
    import openai

    opened = openai.OpenAI(base_url=here.url, api_key="none", max_retries=0)
    texts = [LONG, *(f"text {number}" for number in range(INPUTS - 1))]
    answer = opened.embeddings.create(model=here.name, input=texts)
    assert len(answer.data) == INPUTS
    chosen = [0, 1, INPUTS - 1]
    expected = here.model.embed("text", [texts[place] for place in chosen])
    differences = [equal([answer.data[place].embedding for place in chosen], expected)]
    floats = opened.embeddings.create(model=here.name, input=texts[:2], encoding_format="float")
    differences.append(equal([row.embedding for row in floats.data], expected[:2]))
    for name, kind in (("image", "image/png"), ("audio", "audio/wav"), ("video", "video/mp4")):
        data = f"data:{kind};base64,{client.base64_of(client.CONTENT[name])}"
        part = {"type": f"{name}_url", f"{name}_url": {"url": data}}
        found = opened.embeddings.create(model=here.name, input=[part]).data[0].embedding
        differences.append(equal(found, here.model.embed(name, [client.CONTENT[name]])[0]))
    assert opened.models.retrieve(here.name).id == here.name
    wrong = ({"input": ""}, openai.BadRequestError), ({"model": "gpt"}, openai.NotFoundError)
    for fields, kind in wrong:
        with pytest.raises(kind) as told:
            opened.embeddings.create(**{"model": here.name, "input": "a", **fields})
        assert told.value.param == next(iter(fields))
    return {"inputs": INPUTS, "tokens": answer.usage.total_tokens, "difference": max(differences)}


def with_langchain(here: Here) -> dict[str, Any]:
    """Its defaults but for the tokens; with those, the refusal says which setting it is."""
    import langchain_openai
    import openai
    import tiktoken

    how = {"base_url": here.url, "api_key": "none", "model": here.name}
    embeddings = langchain_openai.OpenAIEmbeddings(**how, check_embedding_ctx_length=False)
    texts = [LONG, *(f"text {number}" for number in range(1500))]
    found = embeddings.embed_documents(texts)
    difference = equal(found[:3], here.model.embed("text", texts[:3]))
    query = equal(embeddings.embed_query("a cat"), here.model.embed("text", ["a cat"])[0])
    # its own tables of tokens come from the network; any others will do
    ranks = {bytes([number]): number for number in range(256)}
    tokens = tiktoken.Encoding("bytes", pat_str=".", mergeable_ranks=ranks, special_tokens={})
    with (
        mock.patch("tiktoken.encoding_for_model", return_value=tokens),
        pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"),
    ):
        langchain_openai.OpenAIEmbeddings(**how).embed_query("a cat")
    return {"texts": len(texts), "difference": max(difference, query)}


def with_schemathesis(here: Here) -> dict[str, Any]:
    """Every phase and check against the OpenAPI document."""
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", ROOT / "tests/serve/schemathesis.toml"),
            *("run", f"{here.server.url}/openapi.json", "--no-color", "--checks=all"),
            *("--continue-on-failure", f"--max-examples={here.examples}", f"--seed={here.seed}"),
            "--generation-database=none",
        ],
        cwd=here.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    (count,) = re.findall(r"(\d+) generated, \1 passed", ended.stdout)
    assert int(count) >= 500, count
    return {"seed": here.seed, "cases": int(count), "failures": 0}


def with_prometheus(here: Here) -> dict[str, Any]:
    """Its parser reads `/metrics`."""
    from prometheus_client import parser

    here.server.embed(texts=["a cat"])
    text = here.server.http.get("/metrics").text
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["lb_jax_requests"].type == "counter"
    assert families["lb_jax_request_seconds"].type == "histogram"
    return {
        "families": len(families),
        "samples": sum(len(family.samples) for family in families.values()),
    }


def with_gradio_client(here: Here) -> dict[str, Any]:
    """It connects to the page, which names no endpoints: programs ask the API."""
    import gradio_client

    opened = gradio_client.Client(here.server.url, verbose=False)
    named = opened.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert named == {}, named
    return {"named_endpoints": len(named)}


def with_duckdb(here: Here) -> dict[str, Any]:
    """It reads a store's table through Arrow, and finds the nearest row."""
    import duckdb
    import lancedb

    from lb_jax.search import database

    table = database.current(database.tables(here.store))
    rows = lancedb.connect(here.store).open_table(table.name).to_arrow()
    asked = here.model.embed("audio", [client.CONTENT["audio"]])[0]
    cosine = f"array_cosine_similarity(vector, ?::FLOAT[{len(asked)}])"
    nearest = f"SELECT modality, vector FROM rows ORDER BY {cosine} DESC LIMIT 1"
    ((modality, vector),) = duckdb.sql(nearest, params=[asked.tolist()]).fetchall()
    assert modality == "audio", modality
    return {"rows": rows.num_rows, "difference": equal(vector, asked)}


def with_transformers(here: Here) -> dict[str, Any]:
    """Auto classes on what `convert --to clip` wrote: texts, and pictures of each modality."""
    import transformers

    differences = []
    for name, folder in here.converted.items():
        opened = transformers.AutoModel.from_pretrained(folder)
        processor = transformers.AutoProcessor.from_pretrained(folder)
        words = transformers.AutoTokenizer.from_pretrained(folder)
        shown, given = here.picture(name)
        tokens = words(TEXTS, return_tensors="pt", padding=True)
        both = processor(text=TEXTS, images=[shown], return_tensors="pt", padding=True)
        assert both["input_ids"].tolist() == tokens["input_ids"].tolist()
        found = opened(**both)
        differences.append(equal(found.text_embeds.detach(), here.model.embed("text", TEXTS)))
        ours = here.model.embed(name, [given])
        differences.append(equal(found.image_embeds.detach(), ours))
    return {"folders": len(differences) // 2, "difference": max(differences)}


def with_sentence_transformers(here: Here) -> dict[str, Any]:
    """The same folders: texts and pictures."""
    import sentence_transformers
    from PIL import Image

    differences = []
    for name, folder in here.converted.items():
        opened = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        shown, given = here.picture(name)
        differences.append(equal(opened.encode(TEXTS), here.model.embed("text", TEXTS)))
        found = opened.encode([Image.fromarray(shown)])
        differences.append(equal(found, here.model.embed(name, [given])))
    return {"folders": len(differences) // 2, "difference": max(differences)}


# name: packages whose versions are told, and what it does
CLIENTS: dict[str, tuple[tuple[str, ...], Callable[[Here], dict[str, Any]]]] = {
    "openai": (("openai",), with_openai),
    "langchain": (("langchain-openai", "tiktoken"), with_langchain),
    "prometheus": (("prometheus_client",), with_prometheus),
    "gradio": (("gradio_client", "gradio"), with_gradio_client),
    "duckdb": (("duckdb", "lancedb"), with_duckdb),
    "transformers": (("transformers", "torch"), with_transformers),
    "sentence-transformers": (("sentence-transformers", "torch"), with_sentence_transformers),
    "schemathesis": (("schemathesis", "hypothesis"), with_schemathesis),
}


def main() -> int:
    """Runs the clients and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--examples", type=int, default=100, help="of schemathesis (default: 100)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of schemathesis (default: {SEED})")
    given = parser.parse_args()
    failed = 0
    with contextlib.ExitStack() as stack:
        here = Here(given.model, given.examples, given.seed, stack)
        for name in given.only:
            packages, work = CLIENTS[name]
            told = {"client": name, "python": sys.version.split()[0]}
            try:
                told |= {package: importlib.metadata.version(package) for package in packages}
                told |= work(here)
            except Exception as error:
                failed += 1
                traceback.print_exc()
                told["failed"] = str(error)[:400]
            print(json.dumps(told), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

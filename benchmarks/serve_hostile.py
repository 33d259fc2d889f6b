"""Hostile uploads on a running server: each gets a 4xx with a reason, and the server goes on.

    python benchmarks/serve_hostile.py [--model M] [--fuzzed 500]

Starts `lb-jax serve` with a token on a free port. A fuzzed file that still decodes is embedded,
and then equals `model.embed`. The last line is JSON.
"""

import argparse
import collections
import json
import signal
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import lb_jax
from lb_jax.core import errors
from tests.serve import client, hostile

TOLERANCE = 2e-5
OCTETS = "application/octet-stream"


def main() -> None:
    """Sends the files and prints what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--fuzzed", type=int, default=500)
    given = parser.parse_args()
    model = lb_jax.load(given.model)
    rng = np.random.default_rng(2)
    tally, wrong = collections.Counter(), []
    right = {name: model.embed(name, [data])[0] for name, data in client.CONTENT.items()}
    with client.serving(f"--model={given.model}", LB_JAX_TOKEN="secret") as server:
        missing = server.embed([("image", client.CONTENT["image"])])
        expect(missing, {401}, "no token", tally, wrong)
        server.http.headers["authorization"] = "Bearer secret"
        for number in range(given.fuzzed):
            name = list(client.CONTENT)[number % len(client.CONTENT)]
            data = hostile.fuzzed(client.CONTENT[name], rng)
            answer = server.embed([(name, data)])
            tally[f"fuzzed {answer.status_code}"] += 1
            if answer.status_code == 200:
                check(server.vectors(answer)[0], decoded(model, name, data), name, wrong)
            elif answer.status_code not in (413, 422) or not answer.json()["error"]["message"]:
                wrong.append(f"fuzzed {name}: {answer.status_code} {answer.text[:200]}")
            if number % 50 == 0:
                check_alive(server, right, wrong)
        for label, statuses, files in named(server.url):
            answer = server.http.post("/v1/embeddings", files=files)
            expect(answer, statuses, label, tally, wrong)
        check_alive(server, right, wrong)
        metrics = server.http.get("/metrics").text
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    restarts = next(
        int(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("lb_jax_decoder_restarts ")
    )
    report = {
        "answers": dict(sorted(tally.items())),
        "wrong": wrong[:10],
        "decoder_restarts": restarts,
        "exit_status": code,
    }
    print(json.dumps(report))


def named(url):
    """(what it is, statuses that are right, form) of each crafted upload."""
    picture = client.CONTENT["image"]
    rows = [
        ("decompression bomb", {413, 422}, [("image", ("a.png", hostile.bomb(), "image/png"))]),
        ("array bomb", {413, 422}, [("depth", ("a.npy", hostile.array_bomb(), OCTETS))]),
        ("10-hour mp4", {413}, [("video", ("a.mp4", hostile.long_clip(), "video/mp4"))]),
        ("name with ../, a picture", {400}, [("image", ("../../a.png", picture, "image/png"))]),
        ("name with ../, no picture", {400}, [("image", ("../../etc/passwd", b"root:", OCTETS))]),
        ("part of type text/html", {415}, [("image", ("a.html", picture, "text/html"))]),
        ("path instead of a file", {400}, [("image", (None, "/etc/passwd"))]),
        ("URL instead of a file", {400}, [("image", (None, f"{url}/healthz"))]),
        ("unknown modality", {400}, [("smell", ("a", picture, OCTETS))]),
    ]
    for number, data in enumerate(hostile.playlists(f"{url}/healthz")):
        rows.append((f"playlist {number}", {422}, [("video", ("a.m3u8", data, "video/mp4"))]))
    return rows


def expect(answer, statuses, label, tally, wrong) -> None:
    """Counts an answer; one of another status, or a refusal without a reason, is wrong."""
    tally[f"{label}: {answer.status_code}"] += 1
    refused = answer.status_code != 200
    if answer.status_code not in statuses or (refused and not answer.json()["error"]["message"]):
        wrong.append(f"{label}: {answer.status_code} {answer.text[:200]}")


def decoded(model, name, data):
    """What the model makes of a damaged file that decodes; None when it says that it does not."""
    try:
        return model.embed(name, [data])[0]
    except errors.DataError:
        return None


def check(found, expected, name, wrong) -> None:
    """Holds a vector against the model's own."""
    if expected is None or np.abs(found - expected).max() > TOLERANCE:
        wrong.append(f"the vector of a fuzzed {name} is not the model's")


def check_alive(server, right, wrong) -> None:
    """A good file of each modality still gets its vector."""
    found = server.vectors(server.embed(client.CONTENT.items()))
    for vector, name in zip(found, client.CONTENT, strict=True):
        check(vector, right[name], f"{name} (whole)", wrong)


if __name__ == "__main__":
    main()

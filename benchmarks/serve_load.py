"""Many clients at once on a running server: every answer checked, memory watched.

    python benchmarks/serve_load.py [--model M] [--clients 64] [--seconds 60]

Starts `lb-jax serve` on a free port. Every client sends, one request after the other, drawn media
of all modalities, texts, mixes of them and bad uploads. Every vector is held against
`model.embed` of this process; bad uploads must get a 4xx. The last line is JSON.
"""

import argparse
import collections
import json
import signal
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

import lb_jax
from tests.serve import client, hostile

TEXTS = ["a dog barks", "rain on a roof", "a red car", "two birds", "a telephone rings"]
TOLERANCE = 2e-5
MIB = 1 << 20


def main() -> None:
    """Runs the load and prints what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    model = lb_jax.load(given.model)
    expected = {name: model.embed(name, [data])[0] for name, data in client.CONTENT.items()}
    expected |= {text: model.embed("text", [text])[0] for text in TEXTS}
    rng = np.random.default_rng(1)
    bad = [(name, data[: len(data) // 2]) for name, data in client.CONTENT.items()]
    bad += [("image", hostile.bomb()), ("video", hostile.long_clip()), ("audio", rng.bytes(4096))]

    tally, seconds, wrong = collections.Counter(), [], []
    with client.serving(f"--model={given.model}") as server:
        tree = Tree(server.process.pid)
        stop = time.monotonic() + given.seconds
        threads = [
            threading.Thread(
                target=work, args=(server.url, number, stop, expected, bad, tally, seconds, wrong)
            )
            for number in range(given.clients)
        ]
        tree.note()
        for thread in threads:
            thread.start()
        while time.monotonic() < stop:
            time.sleep(2)
            tree.note()
        for thread in threads:
            thread.join()
        tree.note()
        alive = server.http.get("/healthz").status_code
        metrics = server.http.get("/metrics").text
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    statuses = {key: count for key, count in sorted(tally.items()) if key.isdigit()}
    report = {
        "clients": given.clients,
        "seconds": given.seconds,
        "requests": len(seconds),
        "items_per_second": round(tally["items"] / given.seconds, 1),
        "statuses": statuses,
        "checked_vectors": tally["vectors"],
        "wrong": wrong[:5],
        "lost": tally["lost"],
        "server_errors": sum(n for key, n in statuses.items() if key.startswith("5")),
        "latency_ms": {
            f"p{q}": round(1000 * float(np.percentile(seconds, q))) for q in (50, 95, 99)
        },
        "rss_mib": tree.summary(),
        "mean_batch": mean_batch(metrics),
        "alive_after": alive == 200,
        "exit_status": code,
    }
    print(json.dumps(report))


class Tree:
    """Memory of a process and all that it started."""

    def __init__(self, pid: int):
        self._root, self._seen = psutil.Process(pid), []

    def note(self) -> None:
        total = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:  # a decoder that was just replaced
                continue
        self._seen.append(total / MIB)

    def summary(self) -> dict[str, int]:
        third = len(self._seen) // 3
        parts = {
            "idle": self._seen[:1],
            "start": self._seen[1 : third + 1],
            "middle": self._seen[third + 1 : 2 * third + 1],
            "end": self._seen[2 * third + 1 :],
        }
        return {name: round(float(np.mean(values))) for name, values in parts.items()}


def work(url, number, stop, expected, bad, tally, seconds, wrong) -> None:
    """One client: requests one after the other until the time is over."""
    rng = np.random.default_rng(number)
    lock = threading.Lock()
    names = list(client.CONTENT)
    with httpx.Client(base_url=url, timeout=180) as http:
        server = client.Server(None, url, http)
        while time.monotonic() < stop:
            chosen = [names[i] for i in rng.integers(0, len(names), rng.integers(0, 4))]
            texts = [TEXTS[i] for i in rng.integers(0, len(TEXTS), rng.integers(0, 3))]
            files = [(name, client.CONTENT[name]) for name in chosen]
            is_bad = rng.random() < 0.2 or not (files or texts)
            if is_bad:
                files.insert(int(rng.integers(len(files) + 1)), bad[rng.integers(len(bad))])
            began = time.monotonic()
            try:
                answer = server.embed(files, texts)
            except httpx.TransportError as error:
                with lock:
                    tally["lost"] += 1
                    wrong.append(repr(error))
                continue
            seconds.append(time.monotonic() - began)
            with lock:
                tally[str(answer.status_code)] += 1
            if answer.status_code == 429:
                time.sleep(float(answer.headers["retry-after"]))
            elif is_bad:
                if answer.status_code not in (413, 422):
                    wrong.append(f"bad upload: {answer.status_code} {answer.text[:200]}")
            elif answer.status_code != 200:
                wrong.append(f"{answer.status_code} {answer.text[:200]}")
            else:
                found = server.vectors(answer)
                right = np.stack([expected[key] for key in [*chosen, *texts]])
                with lock:
                    tally["items"] += len(found)
                    tally["vectors"] += len(found)
                if found.shape != right.shape or np.abs(found - right).max() > TOLERANCE:
                    wrong.append(f"vectors of {chosen} {texts} differ")


def mean_batch(metrics: str) -> float:
    """Items that the model embedded at once, on average."""
    totals = collections.Counter()
    for line in metrics.splitlines():
        for kind in ("sum", "count"):
            if line.startswith(f"lb_jax_batch_items_{kind}"):
                totals[kind] += float(line.split()[-1])
    return round(totals["sum"] / max(totals["count"], 1), 2)


if __name__ == "__main__":
    main()

"""LitServe beside Ray Serve: the same model, batches and clients behind both.

    python benchmarks/serve.py --engine litserve
    PYTHONPATH=FOLDER_OF_RAY python benchmarks/serve.py --engine ray

`ray[serve]` is no part of the package; `pip install --target FOLDER_OF_RAY 'ray[serve]'` puts it
beside. Both engines gather up to 32 texts for 4 ms and embed them. The last line is JSON.
"""

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import litserve
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

BATCH, GATHER_S = 32, 0.004
PORT = 8931
START_S = 400
TEXTS = ["a dog barks", "rain on a roof", "a red car", "two birds", "a telephone rings"]


def main() -> None:
    """Starts an engine, loads it with clients and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--serve", action="store_true", help="be the engine")
    given = parser.parse_args()
    if given.serve:
        ENGINES[given.engine](given.model)
        return
    command = [sys.executable, __file__, "--engine", given.engine, "--model", given.model]
    began = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([*command, "--serve"], stdout=nowhere, start_new_session=True)
    try:
        wait_for_answer(process)
        started_s = time.monotonic() - began
        seconds = load(given.clients, given.seconds)
        tree = [process_ for process_ in psutil.process_iter() if is_of(process_, process.pid)]
        report = {
            "engine": given.engine,
            "start_s": round(started_s, 1),
            "requests_per_second": round(len(seconds) / given.seconds, 1),
            "p50_ms": round(1000 * float(np.percentile(seconds, 50)), 1),
            "p95_ms": round(1000 * float(np.percentile(seconds, 95)), 1),
            "processes": len(tree),
            "rss_mib": round(sum(one.memory_info().rss for one in tree) / 2**20),
        }
        print(json.dumps(report))
    finally:
        for one in [p for p in psutil.process_iter() if is_of(p, process.pid)]:
            one.send_signal(signal.SIGKILL)


def is_of(process: psutil.Process, session: int) -> bool:
    """Whether a process belongs to the engine: its session, or a child of one in it."""
    try:
        return os.getsid(process.pid) == session or session in [p.pid for p in process.parents()]
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def wait_for_answer(process: subprocess.Popen) -> None:
    """Waits until a text is embedded."""
    for _ in range(START_S):
        if process.poll() is not None:
            raise SystemExit("the engine ended")
        try:
            if httpx.post(f"http://127.0.0.1:{PORT}/predict", json=TEXTS[0], timeout=60).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit("the engine does not answer")


def load(clients: int, for_s: float) -> list[float]:
    """Seconds of every answer."""
    stop = time.monotonic() + for_s

    def work(number: int) -> list[float]:
        took = []
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=120) as http:
            while time.monotonic() < stop:
                began = time.monotonic()
                answer = http.post("/predict", json=TEXTS[number % len(TEXTS)])
                assert answer.is_success, answer.text
                took.append(time.monotonic() - began)
        return took

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return [one for rows in pool.map(work, range(clients)) for one in rows]


class Texts(litserve.LitAPI):
    """The model behind LitServe; of the module, as it goes to another process by pickle."""

    source: str

    def setup(self, device):
        import lb_jax

        self.model = lb_jax.load(self.source)
        self.model.embed("text", TEXTS)

    def decode_request(self, request):
        return request

    def batch(self, inputs):
        return inputs

    def predict(self, texts):
        return list(self.model.embed("text", texts))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output.tolist()


def litserve_engine(source: str) -> None:
    """LitServe with the loop that `lb-jax serve` gives it."""
    from lb_jax.serve import engine

    api = Texts(max_batch_size=BATCH, batch_timeout=GATHER_S, loop=engine.Gathering())
    api.source = source
    server = litserve.LitServer(api, accelerator="cpu", timeout=False)
    server.run(port=PORT, host="127.0.0.1", generate_client_file=False, log_level="warning")


def ray_engine(source: str) -> None:
    """Ray Serve with one replica."""
    import ray
    from ray import serve
    from starlette.requests import Request

    @serve.deployment(max_ongoing_requests=256)
    class Texts:
        def __init__(self):
            import lb_jax

            self.model = lb_jax.load(source)
            self.model.embed("text", TEXTS)

        @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=GATHER_S)
        async def embed(self, texts):
            return [vector.tolist() for vector in self.model.embed("text", texts)]

        async def __call__(self, request: Request):
            return await self.embed(await request.json())

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Texts.bind(), route_prefix="/predict", blocking=True)


ENGINES = {"litserve": litserve_engine, "ray": ray_engine}

if __name__ == "__main__":
    main()

"""A server as a process of its own, and what tests send to it."""

import base64
import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import httpx
import numpy as np

from tests import goldens
from tests.media import media_files

RNG = np.random.default_rng(0)
START_S = 300  # on a machine with other work

CONTENT = {
    "image": media_files.picture(RNG.integers(0, 256, (40, 40, 3), np.uint8)),
    "video": media_files.clip(),
    "audio": media_files.sound(media_files.noise(16000)),
    "depth": media_files.picture(RNG.integers(500, 9000, (40, 40)).astype(np.uint16)),
    "thermal": media_files.picture(RNG.integers(0, 256, (50, 40, 3), np.uint8)),
}
CAPTIONS = {"image": "noise in all colours", "video": "a pattern that moves"}  # of the store


@dataclasses.dataclass
class Server:
    """A running server.

    Attributes:
      process: of the command.
      url: where it listens.
      http: client of it.
    """

    process: subprocess.Popen
    url: str
    http: httpx.Client

    def embed(self, files=(), texts=(), **fields):
        """Posts a form of (modality, bytes) and texts, in that order."""
        parts = [(name, (f"{name}.bin", data, "application/octet-stream")) for name, data in files]
        parts += [("input", (None, text)) for text in texts]
        parts += [(name, (None, str(value))) for name, value in fields.items()]
        return self.http.post("/v1/embeddings", files=parts)

    def vectors(self, answer):
        """The vectors of an answer, [n, e]."""
        assert answer.status_code == 200, answer.text
        return np.array([row["embedding"] for row in answer.json()["data"]], np.float32)


def error(answer, status, code):
    """Checks a refusal and gives its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()["error"]
    assert found["code"] == code
    assert found.keys() == {"message", "type", "param", "code"}
    return found["message"]


@contextlib.contextmanager
def serving(*arguments, **environment):
    """Starts `lb-jax serve` on a free port, with one device, and stops it."""
    flags = re.sub(
        r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", "")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "lb_jax.cli.main", "serve", "--port=0", *map(str, arguments)],
        cwd=goldens.ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags.strip()} | environment,
    )
    try:
        url = _address(process)
        with httpx.Client(base_url=url, timeout=120) as http:
            yield Server(process, url, http)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)


def _address(process):
    began = time.monotonic()
    said = []
    while time.monotonic() - began < START_S:
        line = process.stderr.readline()
        said.append(line)
        if match := re.search(r"ready at (http://\S+?)/ ", line):
            return match[1]
        if not line:
            break
    raise AssertionError("".join(said))


def base64_of(data):
    """What JSON takes."""
    return base64.b64encode(data).decode()

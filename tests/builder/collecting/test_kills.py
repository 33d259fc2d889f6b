"""A run that is killed again and again collects what one that is not does, and nothing twice."""

import importlib.util
import json
import random
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from lb_jax.builder.collecting import driver
from tests.builder.collecting import world

KILLS = 3  # at least; as many as it takes
DRIVER = """
import dataclasses, pathlib, sys
from lb_jax.builder.collecting import driver
from tests.builder.collecting import world
cfg = dataclasses.replace(
    world.QUICK, sources=(sys.argv[1],), per_minute=60_000, workers=3, stall_s=5
)
driver.collect(cfg, pathlib.Path(sys.argv[2]), shown=False)
"""


def table(server, folder, paths):
    return f"urls={world.table(folder / 't.csv', world.rows(server, paths, licence='CC0-1.0'))}"


def listed(server, folder, paths):
    (folder / "urls.txt").write_text("\n".join(server.url + path for path in paths))
    return f"ytdlp={folder / 'urls.txt'}"


@pytest.mark.parametrize(("make", "needs"), [(table, "httpx2"), (listed, "yt_dlp")])
def test_kills_lose_nothing_and_fetch_nothing_twice(server, tmp_path, make, needs):
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not here")
    paths = world.films(server, 8)
    source, out, rng = make(server, tmp_path, paths), tmp_path / "out", random.Random(0)
    out.mkdir()
    command = [sys.executable, "-c", DRIVER, source, str(out)]
    killed = 0
    while True:
        asked, least = len(server.log), rng.randrange(1, 6)
        process = subprocess.Popen(command)
        while process.poll() is None and len(server.log) < asked + least:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    assert process.returncode == 0
    assert killed >= KILLS
    raw = json.loads((out / driver.RAW).read_text("utf-8"))
    contents = {}
    for one in raw.values():
        url = one["metadata"].get("url") or one["metadata"]["webpage_url"]
        contents[urlsplit(url).path] = (out / one["file"]).read_bytes()
    assert contents == {path: server.files[path] for path in paths}
    world.run(tmp_path / "whole", server, source)
    assert (tmp_path / "whole" / driver.RAW).read_bytes() == (out / driver.RAW).read_bytes()
    asked = len(server.log)
    again, _ = world.run(out, server, source)
    assert (again.fetched, len(server.log)) == (0, asked)

"""What the collecting tests have in common: small media, tables, a sheet, a run."""

import csv
import dataclasses
import itertools
import json

from lb_jax.builder.collecting import driver
from lb_jax.builder.collecting.settings import Collect
from tests.media import media_files

FILM = media_files.clip(frames=6, sound=True)
QUICK = Collect(per_minute=60, first_wait_s=1, longest_wait_s=60, tries=4, stall_s=2, workers=1)


def films(server, count, folder="/films"):
    """Puts films on the server, of different bytes; returns their paths."""
    paths = [f"{folder}/{number:03}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        server.files[path] = FILM + bytes([number]) * 100_000  # bytes behind the end are ignored
    return paths


def table(path, rows):
    """Writes a CSV of dicts."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows(server, paths, **more):
    return [
        {"url": server.url + path, "title": f"film {n}", "id": f"film{n}", **more}
        for n, path in enumerate(paths)
    ]


def run(out, server, *sources, **changes):
    """Collects; returns the summary and what `raw.json` holds."""
    cfg = dataclasses.replace(QUICK, sources=tuple(sources), **changes)
    out.mkdir(exist_ok=True)
    summary = driver.collect(cfg, out, clock=server.clock, shown=False)
    return summary, json.loads((out / driver.RAW).read_text("utf-8"))


def apart(server, path=None):
    """Shortest time between two requests, by the server's log."""
    times = [one.time for one in server.log if path is None or one.path == path]
    return min(later - before for before, later in itertools.pairwise(times))

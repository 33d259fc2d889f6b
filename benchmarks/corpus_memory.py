"""Memory of a run of a corpus's stages over many small items: does it grow with their number?

    python benchmarks/corpus_memory.py [--items 20000] [--workers 2]

A few small films are drawn, and each is there under many names. Memory is what the process that
runs the engine and those that look at films hold together (proportional set size), taken at every
commit. It is told for each thousand of items; the last line is JSON: the median of the second
thousand, that of the last one, and the most that there was behind the first thousand, stages that
compare all items included.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

FILMS, FRAMES, SIDE = 40, 12, 64
MIB = 2**20
STAGES = (
    *("title_length", "word_list", "titles", "duration", "resolution", "aspect", "frame_rate"),
    *("silence", "clipping", "black", "still", "copies"),
)
LAST = "still"  # of the stages that only look at films


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    from lb_jax.builder import items, sheet, store
    from lb_jax.builder.engine import local
    from lb_jax.builder.filters.resolution import Resolution

    with tempfile.TemporaryDirectory() as folder:
        raw = source(Path(folder), arguments.items)
        cfg = sheet.CorpusConfig(
            stages=STAGES, source=sheet.Source(path=str(raw)), resolution=Resolution(SIDE)
        )
        opened, held, done = store.Store.open(Path(folder) / "store"), [], [0]
        add = opened.add

        def watched(one, rows):
            add(one, rows)
            done[0] += len(rows) if one.name == LAST else 0
            held.append((done[0], together()))

        opened.add = watched
        local.run(sheet.plan(cfg), items.read(cfg.source), opened, workers=arguments.workers)
        at_the_end = together()
    by_thousand: dict[int, list[int]] = {}
    for count, size in held:
        by_thousand.setdefault(count // 1000, []).append(size)
    medians = {place: statistics.median(sizes) / MIB for place, sizes in by_thousand.items()}
    for place, size in medians.items():
        print(f"{place + 1:4}th thousand {size:8.0f} MiB")
    later = [size for place, sizes in by_thousand.items() if place for size in sizes]
    last = max(place for place, sizes in by_thousand.items() if len(sizes) > 1)
    told = {
        "items": arguments.items,
        "second_thousand_mib": medians[1],
        "last_thousand_mib": medians[last],
        "most_mib": max(*later, at_the_end) / MIB,
        "growth": medians[last] / medians[1],
    }
    print(json.dumps(told))
    sys.exit(not told["growth"] <= 1.1)


def source(folder: Path, count: int) -> Path:
    """`raw.json` of small films, each of them there under many names."""
    import numpy as np

    from lb_jax.demo import media

    for number in range(FILMS):
        rng = np.random.default_rng(number)
        frames = rng.integers(40, 255, (FRAMES, SIDE, SIDE, 3), np.uint8)
        wave = np.round(3000 * rng.standard_normal(FRAMES * 2000)).astype(np.int16)
        media.write_film(folder / f"film{number}.mp4", frames, wave, rate_hz=8, sound_hz=16_000)
    entries = {}
    for number in range(count):
        name = f"item{number:06}.mp4"
        os.link(folder / f"film{number % FILMS}.mp4", folder / name)
        words = " ".join(f"{number * prime % 9973:x}" for prime in (7, 101, 1009, 4243))
        title = f"{words} is what film {number} shows"
        entries[name] = {"title": title, "file": name, "licence": "CC0-1.0", "source": "drawn"}
    path = folder / "raw.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def together() -> int:
    """Bytes that this process and those that it started hold."""
    found, todo = 0, [os.getpid()]
    while todo:
        process = todo.pop()
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
        except OSError:  # it ended
            continue
        found += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == "Pss:")
        todo += map(int, children.split())
    return found * 1024


if __name__ == "__main__":
    main()

"""Search among 100,000 vectors of width 768: the store, exact and by its index, beside faiss.

    python benchmarks/index.py [--rows 100000] [--width 768] [--queries 240] [--data clustered]

`clustered`: a thousand directions drawn at random; each vector is one of them plus 0.8 times a
random direction, made unit again, and so are the queries. A query has a hundred vectors of its
cluster at a cosine of about 0.6, and which ten are nearest among them is left to chance, as it is
with the many like scenes of a real collection. `uniform`: random directions, where no index has
anything to hold on to: the worst case.

All four answer one query at a time, the same ones, taking turns of `TURN` queries. Ours includes
what a user pays: files read from disk, rows with paths and times, ties in a fixed order.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lb_jax.search import maker as maker_lib
from lb_jax.search import rows as rows_lib
from lb_jax.search import store as store_lib

K, CENTRES, NOISE = 10, 1000, 0.8
TURN, WARM = 40, 10  # queries of a turn; queries before the first, which are not counted
COMMIT = 1000  # rows of an `add`
HNSW = {"M": 32, "efConstruction": 80, "efSearch": 128}

Search = Callable[[np.ndarray], list[int]]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def drawn(data: str, rows: int, queries: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 `[rows, width]` and queries `[queries, width]`."""
    generator = np.random.default_rng(0)
    count = rows + queries
    found = unit(generator.standard_normal((count, width), np.float32))
    if data == "clustered":
        centres = unit(generator.standard_normal((CENTRES, width), np.float32))
        found = unit(centres[generator.integers(0, CENTRES, count)] + np.float32(NOISE) * found)
    return found[:rows], found[rows:]


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def ours(vectors: np.ndarray, folder: Path) -> Iterator[tuple[str, float, int, Search]]:
    """Yields the store's exact search, then that by its index: (name, seconds, bytes, search)."""
    maker = maker_lib.Maker("0" * 64, "0" * 16, "float32", "drawn", vectors.shape[1], 5.0, 5.0)
    start = time.perf_counter()
    store = store_lib.Store.create(folder / "store", maker)
    for first in range(0, len(vectors), COMMIT):
        store.add(
            [
                rows_lib.Row(
                    f"/media/{first + i:06}.mp4",
                    "video",
                    0.0,
                    5.0,
                    f"{first + i:064x}",
                    1,
                    1,
                    maker.digest,
                    maker.preprocessing,
                    vector,
                )
                for i, vector in enumerate(vectors[first : first + COMMIT])
            ]
        )

    def search(query: np.ndarray, *, exact: bool) -> list[int]:
        return [int(hit.path[7:13]) for hit in store.search(query, K, exact=exact)]

    # what older versions take goes after a minute; here it is counted with the rest
    written = size(folder / "store")
    yield (
        "store, exact",
        time.perf_counter() - start,
        written,
        lambda query: search(query, exact=True),
    )
    start = time.perf_counter()
    told = store.build_index(exact_rows=0)
    seconds = time.perf_counter() - start
    yield (
        f"store, {told['kind']}",
        seconds,
        store.info()["bytes"],
        lambda query: search(query, exact=False),
    )


def theirs(vectors: np.ndarray, folder: Path) -> Iterator[tuple[str, float, int, Search]]:
    """Yields the same of faiss, flat and HNSW; what it writes is vectors and numbers alone."""
    import faiss

    def flat() -> "faiss.Index":
        return faiss.IndexFlatIP(vectors.shape[1])

    def graph() -> "faiss.Index":
        index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW["M"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = HNSW["efConstruction"]
        index.hnsw.efSearch = HNSW["efSearch"]
        return index

    for name, make in (("faiss flat", flat), ("faiss HNSW", graph)):
        start = time.perf_counter()
        index = make()
        index.add(vectors)
        file = folder / f"{name}.faiss"
        faiss.write_index(index, str(file))
        seconds = time.perf_counter() - start

        def search(query: np.ndarray, index: "faiss.Index" = index) -> list[int]:
            return index.search(query[None], K)[1][0].tolist()

        yield name, seconds, file.stat().st_size, search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--queries", type=int, default=240)
    parser.add_argument("--data", choices=("clustered", "uniform"), default="clustered")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary one)")
    given = parser.parse_args()
    vectors, queries = drawn(given.data, given.rows, given.queries + WARM, given.width)
    right = [set(np.argpartition(-(vectors @ query), K)[:K].tolist()) for query in queries]
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        sides = [*ours(vectors, folder), *theirs(vectors, folder)]
        took = {name: [] for name, *_ in sides}
        hits = dict.fromkeys(took, 0)
        for first in range(WARM, len(queries), TURN):
            for name, _, _, search in sides:
                for query in queries[:WARM] if first == WARM else ():
                    search(query)
                for i in range(first, min(first + TURN, len(queries))):
                    start = time.perf_counter()
                    found = search(queries[i])
                    took[name].append(time.perf_counter() - start)
                    hits[name] += len(right[i].intersection(found))
    finally:
        shutil.rmtree(folder)
    print(f"{given.rows} vectors of width {given.width}, {given.data}, {os.cpu_count()} cores")
    result = {}
    for name, seconds, written, _ in sides:
        median, late = np.percentile(np.array(took[name]) * 1e3, (50, 95))
        recall = hits[name] / K / given.queries
        result[name] = {
            "build_s": seconds,
            "bytes": written,
            "recall_at_10": recall,
            "median_ms": median,
            "p95_ms": late,
        }
        print(
            f"{name:14} build {seconds:7.1f} s   {written / 2**20:6.0f} MiB   recall@10 "
            f"{recall:.3f}   median {median:7.2f} ms   95 % {late:7.2f} ms"
        )
    print(json.dumps({"data": given.data, "rows": given.rows, "sides": result}))


if __name__ == "__main__":
    main()

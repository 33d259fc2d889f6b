"""Writes the demo corpus: real media files, VIDAL annotations (spec 8.6, 8.7), scoring facts.

scenes_resize256_skip15/{id}.mp4                          video, H.264, 16 frames at 8 Hz
scenes_resize256_skip15/{id}_resize256_folder/{0..7}.jpg  its still frames
scenes/{id}_depth_f8glpn_folder/{0..7}.png                their depth, uint16 millimetres
scenes/{id}_thermal_folder/{0..7}.jpg                     their thermal pictures
scenes_audio/{id}.wav                                     sound, mono, 16 kHz, 2 s
annotation.json, train.json, test.json                    VIDAL: all items, and the two splits
attributes.json, prompts.json                             facts and prompts, for scoring only
corpus.json                                               seed, items, version; written last
"""

import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from lb_jax.core import errors
from lb_jax.demo import captions, media, render, scene, silhouettes, sound

VERSION = 6  # raise it whenever the same seed gives other bytes
FOLDER = "scenes"
FOLDERS = (f"{FOLDER}_resize256_skip15", FOLDER, f"{FOLDER}_audio")  # what the files lie in
MIN_ITEMS = 20
_CHUNK = 16  # items between two reports of progress
_ITEMS_PER_WORKER = 64  # starting a worker costs about as much as writing this many items
_MARKER, _UNFINISHED = "corpus.json", "corpus.unfinished.json"
# A generator each, so that a change to one sensor leaves the others' bytes alone.
_STREAMS = ("geometry", "rgb", "depth", "thermal", "sound", "captions", "still")


def write_corpus(
    out: Path,
    *,
    seed: int,
    items: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a corpus, or returns at once where the same one is complete already.

    The same seed and number of items give the same bytes in every file, with any number of workers.
    A run that was cut short is written again from the start.

    Args:
      out: folder to write; made if missing, else it must be empty or hold this very corpus.
      seed: whole number from 0.
      items: number of items, at least 20; one in five is a test item.
      workers: processes to write with; by default one per available core, fewer for a small corpus.
        One means this process; more start fresh interpreters, so a program must guard its entry
        with `if __name__ == "__main__"`.
      progress: called with (items written, items) now and then.

    Raises:
      errors.ConfigError: a value is out of range, or the folder holds something else.
    """
    out = Path(out)
    _check(seed, items, workers)
    identity = {"seed": seed, "items": items, "version": VERSION}
    if _is_complete(out, identity):
        return
    _begin(out, identity)
    plan = scene.schedule(seed, items)
    annotation, facts = {}, {}
    for row in _written(out, seed, plan, workers or _default_workers(items)):
        for name, texts, attributes in row:
            annotation[name], facts[name] = texts, attributes
        if progress is not None:
            progress(len(facts), items)
    _write_json(out / "annotation.json", annotation)
    for split in ("train", "test"):
        of_split = {
            name: texts for name, texts in annotation.items() if facts[name]["split"] == split
        }
        _write_json(out / f"{split}.json", of_split)
    _write_json(out / "attributes.json", facts)
    _write_json(out / "prompts.json", captions.prompts())
    os.replace(out / _UNFINISHED, out / _MARKER)


def write_item(
    out: Path, seed: int, index: int, attributes: scene.Attributes
) -> tuple[str, dict, dict]:
    """Writes the media files of one item; depends on nothing but its arguments.

    Returns:
      The item's id, its entry in `annotation.json` and its entry in `attributes.json`.
    """
    rng = {
        stream: np.random.default_rng([seed, index, number])
        for number, stream in enumerate(_STREAMS)
    }
    silhouette = silhouettes.draw_pose(attributes.category, rng["geometry"])
    masks = silhouettes.masks(
        silhouette, scene.draw_path(attributes.motion, silhouette.extent, rng["geometry"])
    )
    stills = list(scene.STILLS)
    frames = render.rgb(masks, attributes.colour, rng["rgb"])
    depth = render.depth(masks[stills], attributes.distance, rng["depth"])
    thermal = render.thermal(masks[stills], attributes.temperature, rng["thermal"])
    samples = sound.synthesise(attributes.source, rng["sound"])

    name = f"scene{index:06d}"
    files = _files(name, int(rng["still"].integers(len(stills))))
    media.write_video(out / files["video"], frames, scene.FRAME_RATE_HZ)
    media.write_jpegs((out / files["image"]).parent, frames[stills])
    media.write_depth_pngs((out / files["depth"]).parent, depth)
    media.write_jpegs((out / files["thermal"]).parent, thermal)
    media.write_sound(out / files["audio"], samples, sound.SAMPLE_RATE_HZ)
    texts = {"folder": FOLDER} | captions.captions(attributes, rng["captions"])
    return name, texts, dataclasses.asdict(attributes) | {"files": files}


def _files(name: str, still: int) -> dict[str, str]:
    return {
        "image": f"{FOLDER}_resize256_skip15/{name}_resize256_folder/{still}.jpg",
        "video": f"{FOLDER}_resize256_skip15/{name}.mp4",
        "depth": f"{FOLDER}/{name}_depth_f8glpn_folder/{still}.png",
        "thermal": f"{FOLDER}/{name}_thermal_folder/{still}.jpg",
        "audio": f"{FOLDER}_audio/{name}.wav",
    }


def _written(out: Path, seed: int, plan: list[scene.Attributes], workers: int):
    """Yields the results of `write_item` in the order of the plan, a chunk at a time."""
    chunks = [list(enumerate(plan))[i : i + _CHUNK] for i in range(0, len(plan), _CHUNK)]
    write = functools.partial(_write_chunk, out, seed)
    if workers == 1:
        yield from map(write, chunks)
        return
    # Fresh interpreters rather than forks: the caller may have threads (JAX has), which a fork
    # would lose.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(write, chunks)


def _write_chunk(
    out: Path, seed: int, chunk: list[tuple[int, scene.Attributes]]
) -> list[tuple[str, dict, dict]]:
    return [write_item(out, seed, index, attributes) for index, attributes in chunk]


def _check(seed: int, items: int, workers: int | None) -> None:
    if seed < 0:
        raise errors.ConfigError(f"corpus seed {seed} is negative; give a whole number from 0")
    if items < MIN_ITEMS:
        raise errors.ConfigError(
            f"a corpus of {items} items is too small for its splits; give at least {MIN_ITEMS}"
        )
    if workers is not None and workers < 1:
        raise errors.ConfigError(
            f"cannot write a corpus with {workers} workers; give at least 1, or leave it out"
        )


def _default_workers(items: int) -> int:
    return min(os.cpu_count() or 1, 1 + items // _ITEMS_PER_WORKER)


def _is_complete(out: Path, identity: dict[str, int]) -> bool:
    return (out / _MARKER).is_file() and _read_identity(out / _MARKER) == identity


def _begin(out: Path, identity: dict[str, int]) -> None:
    """Makes the folders, after making sure that nothing of anybody else's would be written over."""
    if out.exists() and not out.is_dir():
        raise errors.ConfigError(
            f"{out} is a file, expected a folder for the corpus; give another --out"
        )
    if out.is_dir() and any(out.iterdir()):
        found = next(
            (
                _read_identity(out / name)
                for name in (_MARKER, _UNFINISHED)
                if (out / name).is_file()
            ),
            None,
        )
        if found != identity:
            what = "files that are no corpus" if found is None else f"the corpus {found}"
            raise errors.ConfigError(
                f"{out} holds {what}, expected {identity} or nothing; give another --out "
                "or empty it"
            )
    for folder in FOLDERS:
        (out / folder).mkdir(parents=True, exist_ok=True)
    _write_json(out / _UNFINISHED, identity)


def _read_identity(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise errors.ConfigError(
            f"{path} is not the JSON of a demo corpus ({error}); give another --out or "
            "empty the folder"
        ) from error


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

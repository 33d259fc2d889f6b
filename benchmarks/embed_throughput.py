"""Files embedded a second, beside a plain loop over transformers' CLIP with the same weights.

    python benchmarks/embed_throughput.py [--modality image video] [--files 1000] [--rounds 4]

Both have a ViT-B/32 (random weights, written by transformers, read by `lb_jax.load`), float32 and
two threads or processes. Two processes stay for the whole run; of each round's files first one
embeds all, then the other, in turns, so that both meet the same machine. What is compiled or loaded
once is not counted, decoding and preprocessing are.

    image   theirs: PIL, CLIPImageProcessor, get_image_features in batches of 32, under no_grad;
            ours: `bulk.update` of the folder into a new store, with hashes and commits.
    video   theirs: 8 frames of each clip (PyAV, evenly spaced), processed and encoded clip by
            clip, the mean of their features; ours, in batches of 4 clips: the video tower without
            attention over time, which computes the same mean.

The cosine between the vectors of both proves that the work is the same; what it lacks to 1 is the
resizing. The last line is JSON.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

THREADS, BATCH, FRAMES = 2, 32, 8
SIZE = 640, 480
SUFFIX = {"image": "*.jpg", "video": "*.mp4"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modality", nargs="+", default=list(SUFFIX), choices=list(SUFFIX))
    parser.add_argument("--files", type=int, default=1000, help="pictures; an eighth of it clips")
    # 250 pictures a round, nearly whole batches of 32: the last one costs as much as a full one
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--corpus", type=Path, default=Path("build/demo/corpus"))
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        _write_weights(folder / "clip")
        for modality in arguments.modality:
            count = arguments.files // (1 if modality == "image" else FRAMES)
            rounds = _write_files(arguments.corpus, folder, modality, count, arguments.rounds)
            results[modality] = _compare(folder, modality, rounds)
    print(json.dumps(results))


def _compare(folder: Path, modality: str, rounds: list[Path]) -> dict:
    spawned = multiprocessing.get_context("spawn")
    sides = {}
    for name, work in (("ours", _ours), ("theirs", _theirs)):
        here, there = spawned.Pipe()
        process = spawned.Process(target=work, args=(there, folder, modality))
        process.start()
        sides[name] = process, here
        here.recv()  # warm
    rates, cosines = {"ours": [], "theirs": []}, []
    for number, files in enumerate(rounds):
        vectors = {}
        for name in sorted(sides, reverse=bool(number % 2)):
            sides[name][1].send(files)
            seconds, vectors[name] = sides[name][1].recv()
            rates[name].append(len(vectors[name]) / seconds)
        cosines += [
            float(vectors["ours"][path] @ vectors["theirs"][path]) for path in vectors["theirs"]
        ]
        told = ", ".join(f"{name} {rates[name][-1]:.2f} files/s" for name in rates)
        print(f"{modality} round {number}: {told}", flush=True)
    for process, here in sides.values():
        here.send(None)
        process.join()
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    return {
        "files": len(cosines),
        **{f"{name}_files_per_s": round(statistics.median(r), 3) for name, r in rates.items()},
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "cosine_min": round(min(cosines), 5),
        "cosine_median": round(statistics.median(cosines), 5),
    }


def _write_weights(folder: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig()).save_pretrained(folder)
    transformers.CLIPImageProcessor().save_pretrained(folder)


def _write_files(corpus: Path, folder: Path, modality: str, count: int, rounds: int) -> list[Path]:
    """A folder for each round, and one to warm up with."""
    from PIL import Image

    found = sorted(corpus.rglob(SUFFIX[modality]))
    folders = [folder / f"{modality}{number}" for number in range(rounds)] + [folder / "warm"]
    for place in folders:
        place.mkdir(exist_ok=True)
    for number in range(count + BATCH):
        source = found[number * 7 % len(found)]
        place = folders[-1 if number >= count else number % rounds] / f"{number:05}{source.suffix}"
        if modality == "image":
            picture = Image.open(source).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
            picture.save(place, quality=90)
        else:
            place.write_bytes(source.read_bytes())
    return folders[:-1]


def _ours(pipe, folder: Path, modality: str) -> None:
    import lb_jax
    from lb_jax.corpora import media_files
    from lb_jax.search import bulk
    from lb_jax.search.maker import Maker
    from lb_jax.search.store import Store

    model = lb_jax.load(folder / "clip")
    if modality == "video":
        model = lb_jax.load(
            _video_checkpoint(model, folder / "video_model"), batch_size=BATCH // FRAMES
        )

    def embed(files: Path) -> dict:
        found = media_files.find([files], model.modalities)
        store = Store.create(tempfile.mkdtemp(dir=folder), Maker.of(model, 600.0, 600.0))
        bulk.update(found, model, store, folder / "bad.jsonl", workers=THREADS, shown=False)
        return _vectors(store)

    embed(folder / "warm")
    _serve(pipe, embed)


def _vectors(store) -> dict:
    import lancedb

    found = lancedb.connect(store.uri).open_table(store.maker.name).to_arrow()
    return dict(
        zip(
            found["path"].to_pylist(),
            found["vector"].combine_chunks().flatten().to_numpy().reshape(len(found), -1),
            strict=True,
        )
    )


def _video_checkpoint(model, folder: Path) -> Path:
    """The image tower as one of video, frame by frame."""
    import numpy as np

    from lb_jax.core import checkpoint, paths
    from lb_jax.core import config as config_lib
    from lb_jax.media import specs

    part = model._weights.part
    flat = {
        "text": part("text", np.float32),
        "towers": {"video": part("towers/image", np.float32)},
        "base": part("base", np.float32),
        "logit_scale": {"video": part("logit_scale", np.float32)["image"]},
    }
    tower = dataclasses.replace(model.config.towers["image"], frames=FRAMES)
    config = dataclasses.replace(model.config, towers={"video": tower})
    preprocess = {"video": specs.to_dict(specs.VideoSpec(frames=FRAMES, antialias=True))}
    told = {"model": config_lib.to_dict(config), "preprocess": preprocess}
    checkpoint.save_model(folder, paths.unflatten(paths.flatten(flat)), told)
    return folder


def _theirs(pipe, folder: Path, modality: str) -> None:
    import av
    import numpy as np
    import torch
    import transformers
    from PIL import Image

    torch.set_num_threads(THREADS)
    model = transformers.CLIPModel.from_pretrained(folder / "clip").eval()
    processor = transformers.CLIPImageProcessor.from_pretrained(folder / "clip")

    def features(pictures: list) -> np.ndarray:
        with torch.no_grad():
            inputs = processor(images=pictures, return_tensors="pt")
            found = model.get_image_features(**inputs)
        return getattr(found, "pooler_output", found).numpy()  # transformers 5 wraps it

    def frames(path: Path) -> list:
        with av.open(str(path)) as container:
            decoded = list(container.decode(video=0))
        chosen = np.linspace(0, len(decoded) - 1, FRAMES).astype(int)
        return [decoded[number].to_image() for number in chosen]

    def embed(files: Path) -> dict:
        names, rows = sorted(files.iterdir()), []
        if modality == "video":
            rows = [features(frames(name)).mean(0) for name in names]
        else:
            for i in range(0, len(names), BATCH):
                pictures = [Image.open(name).convert("RGB") for name in names[i : i + BATCH]]
                rows += list(features(pictures))
        return {
            name.as_posix(): row / np.linalg.norm(row)
            for name, row in zip(names, rows, strict=True)
        }

    embed(folder / "warm")
    _serve(pipe, embed)


def _serve(pipe, embed) -> None:
    pipe.send(None)
    while (files := pipe.recv()) is not None:
        start = time.perf_counter()
        vectors = embed(files)
        pipe.send((time.perf_counter() - start, vectors))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    main()

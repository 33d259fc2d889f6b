"""Seconds and memory of loading and converting published weights, full size, with random numbers.

    python benchmarks/convert.py [--arch ViT-L/14 ViT-H/14] [--folder=DIR] [--repetitions=3]

Every job runs in a process of its own, in turn with the others, on files in the page cache. The
clock starts after the imports; memory is the largest resident set, above what the imports took. The
yardstick is one plain read of the file and one copy of as many bytes: in memory for what loads, to
a file for what writes one.

Right before, another process uses as much memory and ends: memory that a virtual machine touches
for the first time is ten times slower, which would drown all differences.

transformers maps the file and reads a number when it is first used, which is why its load is two
rows; memory is that of all rows so far. Without torch and transformers their rows are left out.

Last come the parameters of five LoRA towers over one base against one tower and its text. The files
take up to 13 GB at a time and are removed.
"""

import argparse
import importlib.util
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CHUNK_BYTES = 16 << 20
RANK = 16  # of the LoRA factors
# Above this share of the file the memory, above this multiple of the yardstick the time is too big.
MOST_MEMORY, MOST_TIME = 1.3, 2.0
WRITES = ("one copy to a file", "lb_jax convert", "transformers save")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", nargs="+", default=["ViT-L/14", "ViT-H/14"])
    parser.add_argument("--folder", type=Path, help="where the files are for a time")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-sharing", action="store_true", help="without the five towers")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)  # what a child does
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        print(json.dumps(JOBS[given.job](*given.arguments)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="lb_jax-convert-") as scratch:
        result = {arch: measure(arch, Path(scratch), given.repetitions) for arch in given.arch}
        if not given.no_sharing:
            result["sharing"] = run("sharing", scratch)
            print_sharing(result["sharing"])
    print(json.dumps(result))


def measure(arch: str, scratch: Path, repetitions: int) -> dict:
    """All jobs on both file formats of one size."""
    has = {name: importlib.util.find_spec(name) for name in ("torch", "transformers")}
    results = {}
    for name in ("model.safetensors", *(["pytorch_model.bin"] if has["torch"] else [])):
        source = scratch / "source"
        run("write", arch, source, name)
        jobs = ["yardstick", "load", "convert", *(["transformers"] if has["transformers"] else [])]
        rows: dict[str, list[dict]] = {}
        for _ in range(repetitions):
            for job in jobs:
                for row, measured in run(job, source / name, scratch / "out").items():
                    rows.setdefault(row, []).append(measured)
        size = (source / name).stat().st_size
        shutil.rmtree(source)
        results[name] = {"bytes": size, **medians(rows, size)}
        print_rows(arch, name, results[name])
    return results


def medians(rows: dict[str, list[dict]], size: int) -> dict:
    """Of every row, also against the yardstick and the file."""
    found = {
        row: {key: statistics.median(one[key] for one in many) for key in many[0]}
        for row, many in rows.items()
    }
    read = found["plain read"]["seconds"]
    for row, measured in found.items():
        copy = found["one copy to a file" if row in WRITES else "one copy"]["seconds"]
        measured["of_yardstick"] = measured["seconds"] / (read + copy)
        measured["of_file"] = measured["above_imports"] / size
    return found


def print_rows(arch: str, name: str, result: dict) -> None:
    print(f"\n{arch}, {name}, {result['bytes'] / 1e9:.2f} GB")
    print(f"{'':26}  seconds  x yardstick  peak GB  above imports  x file")
    for row, one in result.items():
        if row != "bytes":
            print(
                f"{row:26} {one['seconds']:8.2f} {one['of_yardstick']:12.2f} "
                f"{one['peak'] / 1e9:8.2f} {one['above_imports'] / 1e9:14.2f} "
                f"{one['of_file']:7.2f}"
            )
    for row in ("lb_jax load", "lb_jax convert"):
        one = result[row]
        fits = one["of_yardstick"] <= MOST_TIME and one["of_file"] <= MOST_MEMORY
        print(
            f"{row}: {'within' if fits else 'MISSES'} {MOST_TIME} x yardstick "
            f"and {MOST_MEMORY} x file"
        )


def print_sharing(result: dict) -> None:
    print("\nparameters of five LoRA towers (ViT-L/14, rank 16), bytes in memory")
    for row, size in result.items():
        print(f"{row:58} {size / 1e9:6.3f} GB {size / result['one tower and text']:6.3f} x")


def run(job: str, *arguments: object) -> dict:
    """A job's result, from a fresh process."""
    command = [sys.executable, __file__, "--job", job, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """The largest resident set so far; a child begins with that of its parent, which is small."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(job: Callable[[], object], baseline: int, file: str) -> dict:
    size = 5 * Path(file).stat().st_size // 2
    subprocess.run([sys.executable, "-c", f"bytearray(b'1') * {size}"], check=True)
    start = time.perf_counter()
    kept = job()  # kept until the memory is measured
    seconds = time.perf_counter() - start
    del kept
    return {"seconds": seconds, "peak": peak_bytes(), "above_imports": peak_bytes() - baseline}


def yardstick(file: str, out: str) -> dict:
    """A plain read in pieces, and a copy of as many bytes into memory that was not used before.

    What is copied is a piece that stays in the cache: this machine gets no faster copy.
    """
    import numpy as np

    size, buffer = Path(file).stat().st_size, np.ones(CHUNK_BYTES, np.uint8)

    def read() -> None:
        with Path(file).open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass

    def copy() -> np.ndarray:
        array = np.empty(size, np.uint8)
        for start in range(0, size, CHUNK_BYTES):
            piece = array[start : start + CHUNK_BYTES]
            piece[:] = buffer[: len(piece)]
        return array

    def copy_to_file() -> None:
        with Path(out).open("wb") as opened:
            for start in range(0, size, CHUNK_BYTES):
                opened.write(buffer[: size - start].data)

    jobs = {"plain read": read, "one copy": copy, "one copy to a file": copy_to_file}
    baseline = peak_bytes()
    result = {row: timed(job, baseline, file) for row, job in jobs.items()}
    Path(out).unlink()
    return result


def load(file: str, out: str) -> dict:
    """`lb_jax.load` with every part on the device."""
    import jax

    import lb_jax

    def job():
        model = load(Path(file).parent)
        return jax.block_until_ready([model._parameters.part(name) for name in parts(model)])

    load = lb_jax.load  # imported when first asked for
    jax.devices()  # starts the backend
    return {"lb_jax load": timed(job, peak_bytes(), file)}


def convert(file: str, out: str) -> dict:
    """Published weights to our safetensors checkpoint."""
    import jax

    from lb_jax.convert import weights, write

    def job() -> None:
        write.write(weights.open_weights(Path(file).parent), Path(out), "safetensors")

    jax.devices()
    result = {"lb_jax convert": timed(job, peak_bytes(), file)}
    shutil.rmtree(out)
    return result


def transformers(file: str, out: str) -> dict:
    """The same two by transformers."""
    import torch  # noqa: F401
    from transformers import CLIPModel
    from transformers import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    models = []

    def read() -> None:
        models.append(CLIPModel.from_pretrained(Path(file).parent))

    def use() -> None:
        for parameter in models[0].parameters():
            parameter.max()

    baseline = peak_bytes()
    result = {"transformers load": timed(read, baseline, file)}
    result["transformers first use"] = timed(use, baseline, file)
    result["transformers save"] = timed(lambda: models[0].save_pretrained(out), baseline, file)
    shutil.rmtree(out)
    return result


def write(arch: str, folder: str, name: str) -> dict:
    """A Hugging Face CLIP folder of random numbers."""
    from lb_jax.convert import clip
    from lb_jax.models.architectures import architecture

    towers = architecture(arch)
    config = clip.to_config(towers.vision, towers.text)
    write_folder(Path(folder), "image", towers.vision, towers.text, config)
    if name != "model.safetensors":
        import safetensors.torch
        import torch

        file = Path(folder) / "model.safetensors"
        torch.save(safetensors.torch.load_file(file), Path(folder) / name)
        file.unlink()
    return {}


def sharing(scratch: str) -> dict:
    """Bytes of the distinct arrays of five towers over one base, of one tower and its text."""
    import dataclasses

    import jax

    import lb_jax
    from lb_jax.convert import languagebind
    from lb_jax.models.architectures import architecture
    from lb_jax.models.lora import LoraConfig

    towers = architecture("ViT-L/14")
    plain = dataclasses.replace(towers.vision, lora=LoraConfig(rank=RANK))
    time_lora = LoraConfig(rank=RANK, targets=r"blocks/temporal_attn/(q|k|v|out)_proj")
    video = dataclasses.replace(plain, frames=8)
    models = {
        "image": plain,
        "depth": plain,
        "thermal": plain,
        "audio": dataclasses.replace(plain, image_size=(112, 1036)),
        "video": video,
        "video with time attention": dataclasses.replace(video, temporal=True, lora=time_lora),
        "one tower": towers.vision,
    }
    folders = {name: Path(scratch) / name for name in models}

    def parameter_bytes(sources: dict) -> int:
        model = lb_jax.load(sources)
        leaves = jax.tree.leaves([model._parameters.part(name) for name in parts(model)])
        return sum(leaf.nbytes for leaf in {id(leaf): leaf for leaf in leaves}.values())

    for name, vision in models.items():
        modality = "image" if name == "one tower" else name.split()[0]
        config = languagebind.to_config(modality, vision, towers.text)
        write_folder(folders[name], modality, vision, towers.text, config)
    four = {name: folders[name] for name in ("image", "depth", "thermal", "audio")}
    found = {
        "one tower and text": parameter_bytes({"image": folders["one tower"]}),
        "five, video without time attention": parameter_bytes({**four, "video": folders["video"]}),
        "five, video with time attention, as published": parameter_bytes(
            {**four, "video": folders["video with time attention"]}
        ),
    }
    for folder in folders.values():
        shutil.rmtree(folder)
    return found


JOBS = {job.__name__: job for job in (yardstick, load, convert, transformers, write, sharing)}


def write_folder(folder: Path, modality: str, vision, text, config: dict) -> None:
    """Random weights under the names of Hugging Face or, with factors, of PEFT.

    Towers of different modalities agree in what `base` holds and in the text; time attention is
    still the copy of the spatial one that its training started from and LoRA left alone.
    """
    import zlib

    import numpy as np

    from lb_jax.convert import clip, rules
    from lb_jax.convert.source import leaf_shapes
    from lb_jax.core import checkpoint
    from lb_jax.models.languagebind import is_shared

    table = clip.peft_rules(vision.lora.targets, base_layer=False) if vision.lora else clip.RULES
    found = rules.places(table, leaf_shapes(modality, vision, text))

    def leaves() -> Iterator[tuple[str, list[np.ndarray]]]:
        for place in found:
            shared = is_shared(place.path.removeprefix("vision/")) or place.path.startswith("text/")
            like = re.sub(r"temporal_(?=attn/\w+/(kernel|bias)$)", "", place.path)  # its copy
            seed = f"{like} {place.layer} {'' if shared or like != place.path else modality}"
            rng = np.random.default_rng(zlib.crc32(seed.encode()))
            values = rng.random(place.foreign_shape, np.float32)
            yield place.name, [(values - np.float32(0.5)) * np.float32(0.07)]

    folder.mkdir(parents=True)
    checkpoint.write_json(folder / "config.json", config)
    file = folder / "model.safetensors"
    checkpoint.write_safetensors(file, leaves(), len(found), {"format": "pt"})


def parts(model) -> list[str]:
    return ["base", *(f"towers/{name}" for name in model.modalities), "text", "logit_scale"]


if __name__ == "__main__":
    main()

"""Finding 5 s in 20 minutes of video and 20 minutes of sound, with the demo's model.

    lb-jax demo corpus --out build/demo/corpus   # if `make demo` did not run
    python benchmarks/moments.py [--corpus build/demo/corpus] [--seed 0] [--model demo]

One film and one recording are joined from scenes of the corpus, 5 s each: 240 scenes for the eye,
in which each of the 48 combinations of category, colour and motion that training never showed comes
once, and 240 for the ear. Both are embedded by `Model.embed_long` and put into a store; 50 captions
of held-out scenes, half about what is seen, half about what is heard, are looked for in it. A
caption is found when the first window of all is that of a scene with what the caption tells: the
one combination, or the source of the sound.
"""

import argparse
import dataclasses
import fractions
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import soundfile

WINDOW_S, SCENES, QUERIES = 5.0, 240, 50
SEEN, HEARD = ("category", "colour", "motion"), ("source",)
CAPTION = {"video": "polish_mplug", "audio": "sound_mplug"}


def plan(corpus: Path, seed: int) -> dict[str, tuple[list[str], list[str]]]:
    """By modality: names of the scenes in their order, and of those that are asked for."""
    scenes = json.loads((corpus / "attributes.json").read_text())
    draw = random.Random(seed)
    names = sorted(scenes)
    draw.shuffle(names)
    held_out = [name for name in names if scenes[name]["split"] == "test"]
    once = {told(scenes[name], SEEN): name for name in held_out}
    others = [name for name in names if told(scenes[name], SEEN) not in once]
    film = [*once.values(), *others[: SCENES - len(once)]]
    draw.shuffle(film)
    recording = names[:SCENES]
    heard = {told(scenes[name], HEARD) for name in recording}
    asked = [name for name in held_out if told(scenes[name], HEARD) in heard]
    half = QUERIES // 2
    return {
        "video": (film, draw.sample(sorted(once.values()), half)),
        "audio": (recording, draw.sample(asked, QUERIES - half)),
    }


def told(scene: dict[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    """What a caption can tell of a scene."""
    return tuple(scene[name] for name in names)


def write_film(corpus: Path, files: list[str], path: Path) -> None:
    """Joins clips, the frames of each spread over 5 s."""
    with av.open(str(path), "w") as out:
        stream = None
        for file in files:
            with av.open(str(corpus / file)) as clip:
                frames = [one.to_ndarray(format="rgb24") for one in clip.decode(video=0)]
            if stream is None:
                stream = out.add_stream(
                    "libx264", rate=fractions.Fraction(len(frames), int(WINDOW_S))
                )
                stream.height, stream.width = frames[0].shape[:2]
                stream.options = {"crf": "10"}
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def write_recording(corpus: Path, files: list[str], path: Path) -> None:
    """Joins sounds, each repeated up to 5 s."""
    parts = []
    for file in files:
        wave, rate_hz = soundfile.read(corpus / file, dtype="float32")
        parts.append(np.resize(wave, int(WINDOW_S * rate_hz)))
    soundfile.write(path, np.concatenate(parts), rate_hz)


def ask(model_name: str, corpus: Path, folder: Path, seed: int) -> None:
    """A child: embeds both files, asks; prints what was found, seconds and its peak of memory."""
    import lb_jax
    from lb_jax.search import maker as maker_lib
    from lb_jax.search import query, rows, stamps, store

    scenes = json.loads((corpus / "attributes.json").read_text())
    captions = json.loads((corpus / "annotation.json").read_text())
    model, result, right = lb_jax.load(model_name), {"seed": seed}, 0
    maker = maker_lib.Maker.of(model, WINDOW_S, WINDOW_S)
    opened = store.Store.create(str(folder / "store"), maker)
    for modality, (order, asked) in plan(corpus, seed).items():
        path, names = folder / FILES[modality], SEEN if modality == "video" else HEARD
        start = time.perf_counter()
        found = model.embed_long(path, WINDOW_S)
        seconds = time.perf_counter() - start
        made = *dataclasses.astuple(stamps.stamp(path)), maker.digest, maker.preprocessing
        times = zip(found.start_s.tolist(), found.end_s.tolist(), found.vectors, strict=True)
        opened.add([rows.Row(str(path), modality, s, e, *made, v) for s, e, v in times])
        hits, where = 0, store.Filter(modalities=(modality,))
        for scene in asked:
            caption = captions[scene][CAPTION[modality]]
            vector = query.query_vector(model, caption)
            (first,) = query.find(opened, model, vector, 1, where, merge=False)
            shown = scenes[order[int((first.start_s + first.end_s) / 2 // WINDOW_S)]]
            hits += told(shown, names) == told(scenes[scene], names)
            if told(shown, names) != told(scenes[scene], names):
                print(f"  {caption!r}: found {told(shown, names)}")
        print(
            f"{modality}: {hits} of {len(asked)} first; {len(found)} windows of {WINDOW_S:g} s "
            f"embedded in {seconds:.1f} s"
        )
        right += hits
        result[modality] = {"first": hits, "of": len(asked), "seconds": seconds}
    result["first"] = right / QUERIES
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{100 * result['first']:.0f} % of {QUERIES}, peak {result['peak_mib']:.0f} MiB")
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, default=Path("build/demo/corpus"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        ask(arguments.model, arguments.corpus, arguments.ask, arguments.seed)
        return
    scenes = json.loads((arguments.corpus / "attributes.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        for modality, (order, _) in plan(arguments.corpus, arguments.seed).items():
            files = [scenes[scene]["files"][modality] for scene in order]
            WRITERS[modality](arguments.corpus, files, Path(folder) / FILES[modality])
        subprocess.run([sys.executable, *sys.argv, "--ask", folder], check=True)


FILES = {"video": "film.mp4", "audio": "recording.wav"}
WRITERS = {"video": write_film, "audio": write_recording}

if __name__ == "__main__":
    main()

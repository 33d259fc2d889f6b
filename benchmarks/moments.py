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
                stream = out.add_stream("libx264", rate=fractions.Fraction(len(frames), int(WINDOW_S)))
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


def embed(model_name: str, folder: Path) -> None:
    """A child: both files into arrays; prints seconds and the peak of its memory."""
    import lb_jax

    model, seconds = lb_jax.load(model_name), {}
    for modality, name in (("video", "film.mp4"), ("audio", "recording.wav")):
        start = time.perf_counter()
        found = model.embed_long(folder / name, WINDOW_S)
        seconds[modality] = time.perf_counter() - start
        np.savez(folder / modality, start_s=found.start_s, end_s=found.end_s, vectors=found.vectors)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, default=Path("build/demo/corpus"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--embed", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.embed:
        embed(arguments.model, arguments.embed)
        return

    import lb_jax

    corpus = arguments.corpus
    scenes = json.loads((corpus / "attributes.json").read_text())
    captions = json.loads((corpus / "annotation.json").read_text())
    planned = plan(corpus, arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for modality, write, file in (
            ("video", write_film, "film.mp4"),
            ("audio", write_recording, "recording.wav"),
        ):
            files = [scenes[scene]["files"][modality] for scene in planned[modality][0]]
            write(corpus, files, folder / file)
        command = [sys.executable, __file__, "--model", arguments.model, "--embed", name]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        told_by_child = json.loads(child.stdout.splitlines()[-1])
        model = lb_jax.load(arguments.model)
        result = {"peak_mib": told_by_child["peak_mib"], "seed": arguments.seed}
        right = 0
        for modality, names in (("video", SEEN), ("audio", HEARD)):
            order, asked = planned[modality]
            moments = np.load(folder / f"{modality}.npz")
            texts = model.embed("text", [captions[scene][CAPTION[modality]] for scene in asked])
            first = model.similarity(texts, moments["vectors"]).argmax(axis=1)
            hits = 0
            for scene, window in zip(asked, first, strict=True):
                found = scenes[order[int(moments["start_s"][window] // WINDOW_S)]]
                if told(found, names) == told(scenes[scene], names):
                    hits += 1
                else:
                    print(
                        f"{modality}: {captions[scene][CAPTION[modality]]!r} -> "
                        f"{' '.join(told(found, names))}, not {' '.join(told(scenes[scene], names))}"
                    )
            right += hits
            seconds = told_by_child["seconds"][modality]
            print(
                f"{modality}: {hits} of {len(asked)} first, {len(moments['vectors'])} windows "
                f"in {seconds:.1f} s"
            )
            result[modality] = {"first": hits, "of": len(asked), "seconds": seconds}
    result["first"] = right / QUERIES
    print(f"{100 * result['first']:.0f} % of {QUERIES} captions, peak {result['peak_mib']:.0f} MiB")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

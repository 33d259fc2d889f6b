"""Writes the demo corpus: real media files, VIDAL annotations (spec 8.6, 8.7), scoring facts.

scenes_resize256_skip15/{id}.mp4                          video, H.264, 16 frames at 8 Hz
scenes_resize256_skip15/{id}_resize256_folder/{0..7}.jpg  its still frames
scenes/{id}_depth_f8glpn_folder/{0..7}.png                their depth, uint16 millimetres
scenes/{id}_thermal_folder/{0..7}.jpg                     their thermal pictures
scenes_audio/{id}.wav                                     sound, mono, 16 kHz, 2 s
scenes_imu/{id}.csv                                       motion, 100 Hz, 5 s around the film
annotation.json, train.json, test.json                    VIDAL: all items, and the two splits
attributes.json, prompts.json                             facts and prompts, for scoring only
corpus.json                                               seed, items, version; written last
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lb_jax.demo import captions, folder, media, motion, render, scene, silhouettes, sound

VERSION = 7  # raise it whenever the same seed gives other bytes
FOLDER = "scenes"
# What the files lie in.
FOLDERS = (f"{FOLDER}_resize256_skip15", FOLDER, f"{FOLDER}_audio", f"{FOLDER}_imu")
# A generator each, so that a change to one sensor leaves the others' bytes alone.
_STREAMS = ("geometry", "rgb", "depth", "thermal", "sound", "captions", "still", "motion")


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
    path = scene.draw_path(attributes.motion, silhouette.extent, rng["geometry"])
    masks = silhouettes.masks(silhouette, path)
    stills = list(scene.STILLS)
    frames = render.rgb(masks, attributes.colour, rng["rgb"])
    depth = render.depth(masks[stills], attributes.distance, rng["depth"])
    thermal = render.thermal(masks[stills], attributes.temperature, rng["thermal"])
    samples = sound.synthesise(attributes.source, rng["sound"])
    readings = motion.sense(path, attributes.category, rng["motion"])

    name = f"scene{index:06d}"
    files = _files(name, int(rng["still"].integers(len(stills))))
    media.write_video(out / files["video"], frames, scene.FRAME_RATE_HZ)
    media.write_jpegs((out / files["image"]).parent, frames[stills])
    media.write_depth_pngs((out / files["depth"]).parent, depth)
    media.write_jpegs((out / files["thermal"]).parent, thermal)
    media.write_sound(out / files["audio"], samples, sound.SAMPLE_RATE_HZ)
    media.write_motion(out / files["imu"], readings, motion.RATE_HZ)
    texts = {"folder": FOLDER} | captions.captions(attributes, rng["captions"])
    return name, texts, dataclasses.asdict(attributes) | {"files": files}


def _files(name: str, still: int) -> dict[str, str]:
    return {
        "image": f"{FOLDER}_resize256_skip15/{name}_resize256_folder/{still}.jpg",
        "video": f"{FOLDER}_resize256_skip15/{name}.mp4",
        "depth": f"{FOLDER}/{name}_depth_f8glpn_folder/{still}.png",
        "thermal": f"{FOLDER}/{name}_thermal_folder/{still}.jpg",
        "audio": f"{FOLDER}_audio/{name}.wav",
        "imu": f"{FOLDER}_imu/{name}.csv",
    }


def _finish(out: Path, items: Sequence[tuple[str, dict, dict]]) -> None:
    annotation = {name: texts for name, texts, _ in items}
    facts = {name: attributes for name, _, attributes in items}
    folder.write_json(out / "annotation.json", annotation)
    for split in ("train", "test"):
        of_split = {
            name: texts for name, texts in annotation.items() if facts[name]["split"] == split
        }
        folder.write_json(out / f"{split}.json", of_split)
    folder.write_json(out / "attributes.json", facts)
    folder.write_json(out / "prompts.json", captions.prompts())


SCENES = folder.Corpus({"version": VERSION}, FOLDERS, scene.schedule, write_item, _finish)
write_corpus = functools.partial(folder.write, SCENES)

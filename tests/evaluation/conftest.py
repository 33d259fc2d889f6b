"""A labelled corpus in miniature, and models whose embeddings are planted or random."""

import hashlib
import json

import av
import cv2
import numpy as np
import pytest
import soundfile
from PIL import Image

from lb_jax.evaluation import evaluate

CATEGORIES = ("bird", "car", "clock")
MOTIONS = ("left", "right", "up", "down")
FOLDERS = {"image": ".jpg", "video": ".mp4", "depth": ".png", "thermal": ".jpg", "audio": ".wav"}
FRAMES = 4


def _write_media(modality, path, i):
    generator = np.random.default_rng(i)
    picture = (
        generator.integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    )  # [48, 64, 3]
    if modality in ("image", "thermal"):
        Image.fromarray(picture).save(path)
    elif modality == "depth":
        cv2.imwrite(str(path), picture[..., 0].astype(np.uint16) * 30 + 500)
    elif modality == "audio":
        soundfile.write(path, 0.3 * np.sin(np.arange(16000) * (0.05 + 0.02 * i)), 16000)
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=4)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for k in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(np.roll(picture, 8 * k, axis=1), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())


def write_corpus(root, items, *, media):
    """Writes `items` test items and one train item; without `media` the files are empty."""
    attributes, captions = {}, {}
    for i in range(items):
        id_ = f"item{i}"
        files = {name: f"{name}/{id_}{suffix}" for name, suffix in FOLDERS.items()}
        attributes[id_] = {
            "split": "test",
            "category": CATEGORIES[i % len(CATEGORIES)],
            "motion": MOTIONS[i % len(MOTIONS)],
            "files": files,
        }
        captions[id_] = {"polish_mplug": f"caption of {id_}", "sound_mplug": f"sound of {id_}"}
        for name, file in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
            if media:
                _write_media(name, root / file, i)
    attributes["other"] = {
        "split": "train",
        "category": "bird",
        "files": {"image": "image/never-read.jpg"},
    }
    (root / "attributes.json").write_text(json.dumps(attributes))
    (root / "test.json").write_text(json.dumps(captions))
    classes = {"category": CATEGORIES, "motion": MOTIONS}
    tasks = ("image/category", "video/category", "video/motion", "audio/category")
    prompts = {
        task: {
            name: [f"prompt {name}", f"another prompt {name}"]
            for name in classes[task.split("/")[1]]
        }
        for task in tasks
    }
    (root / "prompts.json").write_text(json.dumps(prompts))
    return root


class PlantedModel:
    """Knows every item by name.

    Items and captions point the same way, prompts along the attribute they name.

    A clip is its frames' numbers; frames out of order point to the next motion.
    """

    modalities = ("image", "video", "depth", "thermal", "audio")

    def __init__(self):
        self.calls = []

    def at_once(self, modality):
        return 32

    def vector(self, i, *, motion_shift=0):
        vector = np.zeros(512, np.float32)
        vector[100 + i] = vector[i % len(CATEGORIES)] = vector[
            10 + (i + motion_shift) % len(MOTIONS)
        ] = 1
        return vector / np.sqrt(3)

    def text(self, text):
        words = text.split()
        if "prompt" not in words:
            return self.vector(int(words[-1].removeprefix("item")))
        vector = np.zeros(512, np.float32)
        vector[
            CATEGORIES.index(words[-1])
            if words[-1] in CATEGORIES
            else 10 + MOTIONS.index(words[-1])
        ] = 1
        return vector

    def embed(self, modality, items):
        self.calls += [(modality, item) for item in items]
        if modality == "text":
            return np.stack([self.text(text) for text in items])
        return np.stack([self.vector(_number(path)) for path in items])

    def preprocess(self, modality, items):
        assert modality == "video"
        clips = [np.arange(FRAMES, dtype=np.float32) + 10 * _number(path) for path in items]
        return np.stack(clips)[:, :, None, None, None]  # [n, t, 1, 1, 1]

    def encode(self, modality, clips, unit=True):
        assert modality == "video"
        numbers = np.asarray(clips)[:, :, 0, 0, 0]
        in_order = (np.diff(numbers, axis=1) > 0).all(axis=1)
        return np.stack(
            [
                self.vector(int(n[0]) // 10, motion_shift=not o)
                for n, o in zip(numbers, in_order, strict=True)
            ]
        )


class RandomModel(PlantedModel):
    """Every file and every text has a direction of its own that means nothing."""

    def embed(self, modality, items):
        seeds = [
            int.from_bytes(hashlib.sha256(f"{modality} {item}".encode()).digest()[:8])
            for item in items
        ]
        return np.stack([np.random.default_rng(seed).normal(size=64) for seed in seeds]).astype(
            np.float32
        )

    def encode(self, modality, clips, unit=True):
        return self.embed(modality, [clip.tobytes().hex() for clip in clips])


def _number(path):
    return int(path.split("item")[-1].split(".")[0])


@pytest.fixture(scope="session")
def media_corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("media"), 12, media=True)


@pytest.fixture(scope="session")
def media_result(media_corpus):
    """Evaluation of the planted model on files that can be shown."""
    return evaluate.evaluate(PlantedModel(), media_corpus)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path, 12, media=False)


@pytest.fixture(scope="session")
def large_corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("large"), 240, media=False)


@pytest.fixture
def planted():
    return PlantedModel()


@pytest.fixture
def random_model():
    return RandomModel()

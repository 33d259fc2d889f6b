"""A checkpoint, broken files, and a caller that takes a command line as one string."""

import dataclasses
import functools
import json
import shlex

import numpy as np
import pytest

from lb_jax.cli import main
from lb_jax.inference import api
from lb_jax.training import compiled
from tests.inference import tiny
from tests.media import media_files

RNG = np.random.default_rng(0)
WHOLE = {
    "clip.mp4": media_files.clip(),
    "sound.wav": media_files.sound(media_files.noise(16000)),
    "picture.png": media_files.picture(RNG.integers(0, 256, (40, 40, 3), np.uint8)),
    "depth.png": media_files.picture(RNG.integers(500, 9000, (40, 40)).astype(np.uint16)),
}

SHEET = """
from lb_jax.training.config import ModalityRecipe, TrainConfig, as_config_dict

def get_config():
    return as_config_dict(TrainConfig(
        arch="tiny", modalities={"depth": ModalityRecipe()}, trainable=((".*", True),),
        steps=1, batch_size=8, text_length=16,
    ))
"""
KINDS = dict.fromkeys(("raw", "mplug", "polish_mplug", "sound_mplug"), "a cat")
ROW = {"folder": "scenes", **KINDS, "ofa": ["a cat"] * 8}


@dataclasses.dataclass
class Result:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("model") / "checkpoint")


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory):
    """Whole files; `empty_` ones; `cut_` ones, of which the second half is missing."""
    folder = tmp_path_factory.mktemp("media")
    for name, content in WHOLE.items():
        (folder / name).write_bytes(content)
        (folder / f"empty_{name}").write_bytes(b"")
        (folder / f"cut_{name}").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture(scope="session")
def sheet_dir(tmp_path_factory):
    """Lab sheets and annotations, whole and broken."""
    folder = tmp_path_factory.mktemp("sheets")
    (folder / "sheet.py").write_text(SHEET)
    (folder / "broken.py").write_text("steps =\n")
    (folder / "empty.py").write_text("")
    (folder / "needs.py").write_text("def get_config(modality):\n    pass\n")
    whole = json.dumps({f"item{i}": ROW for i in range(4)}, indent=1)
    (folder / "rows.json").write_text(whole)
    (folder / "cut.json").write_text(whole[: len(whole) // 2])
    lacking = {key: value for key, value in ROW.items() if key != "polish_mplug"}
    (folder / "nothing.json").write_text("{}")
    (folder / "lacking.json").write_text(json.dumps({"item0": ROW, "item1": lacking}))
    return folder


@pytest.fixture(scope="session")
def load():
    """`api.load`, once for each folder."""
    return functools.cache(api.load)


@pytest.fixture
def call(model_dir, media_dir, sheet_dir, load, tmp_path, capfd, monkeypatch):
    """Runs a command line in this process.

    {model}, {media}, {sheets} stand for the folders above, {tmp} for an empty one.
    """
    monkeypatch.setattr(compiled, "keep", lambda: None)  # it is the whole process's
    monkeypatch.setattr(api, "load", load)
    folders = {"model": model_dir, "media": media_dir, "sheets": sheet_dir, "tmp": tmp_path}

    def called(line: str) -> Result:
        capfd.readouterr()
        try:
            status = main.main(shlex.split(line.format(**folders)))
        except SystemExit as left:  # argparse, after --help
            status = left.code
        return Result(status, *capfd.readouterr())

    return called

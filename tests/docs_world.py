"""A folder with small data under the names that README and docs give theirs."""

import contextlib
import csv
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from lb_jax.cli import main as cli
from lb_jax.core import shipped
from lb_jax.demo import corpus
from tests.evaluation import miniatures
from tests.goldens import ROOT
from tests.inference import valor_models

ITEMS = 200  # of the demo's corpus; a fifth is held out, and enough of them to calibrate
KEPT = 8  # files of a folder
BENCHMARKS = ("msrvtt", "esc50", "nyu_depth")
FILM_S = 40
MODEL = "build/demo/checkpoint"
WRITER = "build/valor"
CORPUS = "build/demo/corpus"
# folder: files of the corpus
FOLDERS = {
    "home/Pictures": "*/*_resize256_folder/0.jpg",
    "home/Videos": "*/*.mp4",
    "photos": "*/*_resize256_folder/4.jpg",
    "scans": "*/*_depth_f8glpn_folder/0.png",
}
SHEET = """from lb_jax.configs import finetune


def get_config():
    cfg = finetune.get_config("depth")
    cfg.data.sources.main.path = "my.csv"
    return cfg
"""


def make(folder: Path, text: str) -> None:
    """Fills an empty folder with what the commands of a page name.

    Args:
      folder: where; `home` in it is the home folder.
      text: the page.
    """
    (folder / MODEL).parent.mkdir(parents=True)
    corpus.write_corpus(folder / CORPUS, seed=0, items=ITEMS, workers=1)
    shutil.copytree(shipped.unpacked(shipped.DEMO), folder / MODEL)
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "configs/X.py").write_text(SHEET, "utf-8")
    for name, pattern in FOLDERS.items():
        (folder / name).mkdir(parents=True)
        for number, file in enumerate(sorted((folder / CORPUS).glob(pattern))[:KEPT]):
            shutil.copy(file, folder / name / f"{number}{file.suffix}")
    _write_film(folder / "home/Videos/film.mp4")
    for name in ("Pictures", "Videos"):
        shutil.copytree(folder / "home" / name, folder / "home/Media" / name)
    shutil.copy(next((folder / CORPUS).glob("*_audio/*.wav")), folder / "bark.wav")
    shutil.copy(folder / CORPUS / "train.json", folder)
    _write_tables(folder)
    for name in BENCHMARKS:
        miniatures.write(name, folder / "datasets")
    if re.search(r"--(model|captioner)[= ]VALOR-", text):
        valor_models.save(folder / WRITER)
    with inside(folder):
        if re.search(r"--model[= ]run\b", text) and "--workdir=run" not in text:
            called("convert", MODEL, "run", "--to=orbax", "--only=depth")
        if "DIR_A" in text:
            called("convert", MODEL, "parts", "--to=hf", "--only=video,audio")
        if "--model NEW" in text:
            called("convert", MODEL, "new", "--to=orbax", "--merge-lora")


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The folder is the current one, and `home` in it that of the user."""
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(folder / "home")
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        del os.environ["HOME"]
        os.environ |= {"HOME": before} if before else {}


def called(*words: str) -> None:
    """Does a command, which has to work."""
    assert cli.main(words) == 0, words


def _write_film(path: Path) -> None:
    """A film of `FILM_S` seconds, a picture each of them."""
    rng = np.random.default_rng(0)
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(FILM_S):
            pixels = np.kron(rng.integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1), "u1"))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))


def _write_tables(folder: Path) -> None:
    """Depth as `my.csv`, `train.csv` and `held_out.csv`, its files in `maps`; others; texts."""
    facts = json.loads((folder / CORPUS / "attributes.json").read_text("utf-8"))
    texts = json.loads((folder / CORPUS / "annotation.json").read_text("utf-8"))
    (folder / "maps").mkdir()
    rows = {"train": [], "test": []}
    own, walks = [], []
    for name, fact in facts.items():
        depth, caption = f"maps/{name}.png", texts[name]["polish_mplug"]
        shutil.copy(folder / CORPUS / fact["files"]["depth"], folder / depth)
        rows[fact["split"]].append({"path": depth, "caption": caption})
        walks.append({"imu": f"{CORPUS}/{fact['files']['imu']}", "caption": caption})
        if fact["split"] == "test":
            sound = f"{CORPUS}/{fact['files']['audio']}"
            files = {"depth": depth, "audio": sound}
            own.append(files | {"caption": caption, "title": caption, "label": fact["category"]})
    for name, found in (
        ("my", rows["train"]),
        ("train", rows["train"]),
        ("held_out", rows["test"]),
        ("own", own),
        ("walks", walks),
    ):
        _write_table(folder / f"{name}.csv", found)
    told = [{"id": row["depth"], "caption": row["caption"]} for row in own]
    (folder / "references.json").write_text(json.dumps(told), "utf-8")
    said = "\n".join(json.dumps(one | {"caption": f"perhaps {one['caption']}"}) for one in told)
    (folder / "captions.jsonl").write_text(said, "utf-8")


def _write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

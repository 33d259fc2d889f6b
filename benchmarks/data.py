"""Samples per second and core of preprocessing, beside the same work by the original's libraries.

    python benchmarks/data.py [--only image audio ...] [--repetitions 40]

One process on one core, every library held to one thread. Ours is `lb_jax.preprocess(modality,
path)`; the peer does what LanguageBind does, by the libraries that it does it with: Pillow and
torch for pictures, OpenCV and torch for depth and clips, soundfile and torch for sound (resampling
and filter bank after torchaudio's recipes, written out here because torchaudio cannot be installed
beside this torch), ftfy and the fast tokenizer of transformers for text. Both run in turn on the
same file, and the ratio is the median of the pairs' ratios. Their results are compared first.

The files are made here, in a folder that is removed.
"""

import argparse
import functools
import html
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # these are read when the libraries are loaded
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"

import av
import cv2
import ftfy
import numpy as np
import soundfile
import torch
import transformers
from PIL import Image

from lb_jax.media import preprocess, specs
from lb_jax.text import clip_bpe

SECONDS, RATE_HZ, MEL_BINS, MEL_FRAMES = 10, 16000, 112, 1036
MEAN = torch.tensor(specs.CLIP_MEAN)
STD = torch.tensor(specs.CLIP_STD)
CAPTIONS = [
    f"A {who} is {what} {where}{end}"
    for who in ("person", "young woman", "group of people", "dog", "golden retriever puppy")
    for what in ("playing the guitar", "running through tall grass", "baking a chocolate cake")
    for where in ("in front of a red brick wall", "on a sunny afternoon", "while others watch")
    for end in (".", " with a lot of joy, as the camera slowly moves to the left.", " – it’s great")
]


class Row(NamedTuple):
    """One line of the table.

    Attributes:
      modality: of ours.
      preset: of ours.
      items: what both get; as many samples as it holds.
      peer: items -> torch or numpy array, as ours.
      tolerance: largest difference of the two that is allowed.
    """

    modality: str
    preset: str
    items: list
    peer: Callable[[list], object]
    tolerance: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="rows whose names begin so")
    parser.add_argument("--repetitions", type=int, default=40)
    given = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"{'':42} {'ours':>9} {'peer':>9}  {'ours / peer':>11}   differ by (allowed)")
    results = {}
    with tempfile.TemporaryDirectory(prefix="lb_jax-data-") as folder:
        for name, row in rows(write_files(Path(folder))).items():
            if given.only and not name.startswith(tuple(given.only)):
                continue
            results[name] = one = measure(row, given.repetitions)
            print(
                f"{name:42} {one['ours']:7.1f}/s {one['peer']:7.1f}/s {one['ratio']:12.2f}   "
                f"{one['difference']:.1e} ({row.tolerance:.0e})"
            )
    print(json.dumps(results))


def rows(files: dict[str, Path]) -> dict[str, Row]:
    """The table, name -> row."""
    smooth, rough = (functools.partial(picture, antialias=a) for a in (True, False))
    tokenizer = clip_tokenizer()
    # The two resamplers differ by more than rounding: only their spectra are alike.
    mixed, first = (functools.partial(sound, mono=m) for m in ("mean", "first"))
    return {
        "image jpg 640x480": Row("image", "default", [files["jpg"]], smooth, 1e-4),
        "image jpg 640x480, reference": Row("image", "reference", [files["jpg"]], rough, 1e-4),
        "thermal jpg 640x480": Row("thermal", "default", [files["jpg"]], smooth, 1e-4),
        "depth png 640x480": Row("depth", "default", [files["png"]], depth, 1e-4),
        "depth png 640x480, reference": Row(
            "depth", "reference", [files["png"]], functools.partial(depth, antialias=False), 1e-4
        ),
        "video mp4 340x256 10 s, by index": Row("video", "default", [files["mp4"]], by_index, 4e-3),
        "video mp4 340x256 10 s, in order": Row("video", "default", [files["mp4"]], in_order, 4e-3),
        "audio wav 44.1 kHz stereo 10 s": Row("audio", "default", [files["44"]], mixed, 1),
        "audio wav 44.1 kHz stereo 10 s, reference": Row(
            "audio", "reference", [files["44"]], first, 2e-3
        ),
        "audio wav 16 kHz 10 s": Row("audio", "default", [files["16"]], mixed, 2e-3),
        "text": Row("text", "default", CAPTIONS, functools.partial(text, tokenizer), 0),
        "text, 10,000 captions": Row(
            "text", "default", captions(10_000), functools.partial(text, tokenizer), 0
        ),
    }


def captions(count: int) -> list[str]:
    """Captions of 5 to 25 words of CLIP's own, as often as words of their rank are."""
    pieces = [piece[:-4] for piece in clip_bpe.vocabulary()[512:] if piece.endswith("</w>")]
    words = [piece for piece in pieces if piece.isascii() and piece.isalpha()]
    often = 1 / np.arange(1, len(words) + 1)
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 26, count)
    drawn = iter(rng.choice(words, lengths.sum(), p=often / often.sum()))
    return [" ".join(itertools.islice(drawn, int(length))) for length in lengths]


def measure(row: Row, repetitions: int) -> dict[str, float]:
    """Samples per second of both, and by how much their results differ."""
    spec = specs.preset(row.modality, row.preset)

    def ours() -> object:
        return preprocess.preprocess(row.modality, row.items, spec)

    def peer() -> object:
        with torch.inference_mode():
            return row.peer(row.items)

    difference = float(np.abs(ours() - np.asarray(peer())).max())
    if not difference <= row.tolerance:
        raise SystemExit(f"{row.modality}: results differ by {difference}, over {row.tolerance}")
    pairs = [(seconds(ours), seconds(peer)) for _ in range(repetitions)]
    one, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {
        "ours": len(row.items) / one,
        "peer": len(row.items) / other,
        "ratio": statistics.median(b / a for a, b in pairs),
        "difference": difference,
    }


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


# ---- the files ----


def write_files(folder: Path) -> dict[str, Path]:
    """One file of each kind, of soft shapes with some noise as cameras make it."""
    rng = np.random.default_rng(0)
    names = {"jpg": "a.jpg", "png": "a.png", "mp4": "a.mp4", "44": "44.wav", "16": "16.wav"}
    files = {key: folder / name for key, name in names.items()}
    scene = _noisy(_soft(rng, 480, 640), rng)
    Image.fromarray(scene).save(files["jpg"], quality=90)
    Image.fromarray(scene[..., 0].astype(np.uint16) * 16 + 700).save(files["png"])
    wide = _soft(rng, 512, 700)
    with av.open(str(files["mp4"]), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for i in range(30 * SECONDS):
            frame = _noisy(wide[i // 2 : i // 2 + 256, i : i + 340], rng)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    t = np.arange(44100 * SECONDS) / 44100
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t)[:, None] * [1, 0.7]
    stereo = sweep + rng.normal(0, 0.02, sweep.shape)
    soundfile.write(files["44"], stereo, 44100)
    soundfile.write(files["16"], stereo[: RATE_HZ * SECONDS, 0], RATE_HZ)
    return files


def _soft(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    grid = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(x + rng.normal(0, 4, x.shape), 0, 255).astype(np.uint8)


# ---- the peers: LanguageBind spec, section 5 ----


def picture(items: list, *, antialias: bool) -> torch.Tensor:
    with Image.open(items[0]) as opened:
        pixels = np.array(opened.convert("RGB"))
    planes = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div(255)
    return _square(planes[None], "bicubic", antialias=antialias).permute(0, 2, 3, 1)


def depth(items: list, *, antialias: bool = True) -> torch.Tensor:
    stored = cv2.imread(str(items[0]), cv2.IMREAD_UNCHANGED)
    metres = torch.from_numpy(stored.astype(np.float32)) / 1000
    planes = (metres.clamp(0.01, 10) / 10).unsqueeze(0).repeat(3, 1, 1)
    return _square(planes[None], "bicubic", antialias=antialias).permute(0, 2, 3, 1)


def by_index(items: list) -> torch.Tensor:
    """The original: seek to every wanted frame."""
    opened = cv2.VideoCapture(str(items[0]))
    count = int(opened.get(cv2.CAP_PROP_FRAME_COUNT))
    frames = []
    for index in np.linspace(0, count - 1, 8).astype(int):
        opened.set(cv2.CAP_PROP_POS_FRAMES, int(index))
        frames.append(cv2.cvtColor(opened.read()[1], cv2.COLOR_BGR2RGB))
    opened.release()
    return _clip(frames)


def in_order(items: list) -> torch.Tensor:
    """Kinder to OpenCV: one pass, and only the wanted frames are converted."""
    opened = cv2.VideoCapture(str(items[0]))
    count = int(opened.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(0, count - 1, 8).astype(int).tolist())
    frames = []
    for index in range(count):
        opened.grab()
        if index in wanted:
            frames.append(cv2.cvtColor(opened.retrieve()[1], cv2.COLOR_BGR2RGB))
    opened.release()
    return _clip(frames)


def _clip(frames: list[np.ndarray]) -> torch.Tensor:
    planes = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float().div(255)
    return _square(planes, "bilinear", antialias=False).permute(0, 2, 3, 1)[None]


def _square(planes: torch.Tensor, kernel: str, *, antialias: bool) -> torch.Tensor:
    """[t, 3, h, w] on a 0..1 scale -> [t, 3, 224, 224] normalised."""
    height, width = planes.shape[-2:]
    short = min(height, width)
    size = [224 * n // short for n in (height, width)]
    resized = torch.nn.functional.interpolate(
        planes, size, mode=kernel, align_corners=False, antialias=antialias
    )
    top, left = (round((n - 224) / 2) for n in size)
    square = resized[..., top : top + 224, left : left + 224]
    return (square - MEAN[:, None, None]) / STD[:, None, None]


def sound(items: list, *, mono: str) -> torch.Tensor:
    samples, rate = soundfile.read(items[0], dtype="float32", always_2d=True)
    wave = torch.from_numpy(samples.T.copy())  # [channels, n]
    if mono == "mean":
        wave = wave.mean(0, keepdim=True)
    wave = resample(wave, rate)
    wave = wave - wave.mean()
    mel = log_mel(wave[0])
    spare = len(mel) - MEL_FRAMES
    if spare < 0:
        mel = mel.repeat(MEL_FRAMES // len(mel) + 1, 1)[:MEL_FRAMES]
    parts = np.array_split(np.arange(max(spare, 0) + 1), 3)
    starts = [int(part[0]) if len(part) else 0 for part in parts]
    crops = torch.stack([mel[s : s + MEL_FRAMES] for s in starts])  # [3, frames, mel]
    return ((crops - -4.2677393) / (4.5689974 * 2)).permute(2, 1, 0)[None]


def resample(wave: torch.Tensor, from_hz: int) -> torch.Tensor:
    """Windowed sinc as one strided convolution, [channels, n] -> [channels, n']."""
    if from_hz == RATE_HZ:
        return wave
    kernel, reach, step = sinc_kernel(from_hz)
    padded = torch.nn.functional.pad(wave, (reach, reach + step))
    phases = torch.nn.functional.conv1d(padded[:, None], kernel, stride=step)
    out = phases.transpose(1, 2).reshape(len(wave), -1)
    return out[:, : math.ceil(RATE_HZ * wave.shape[1] / from_hz)]


@functools.cache  # a torchaudio.transforms.Resample keeps it as well
def sinc_kernel(from_hz: int) -> tuple[torch.Tensor, int, int]:
    divisor = math.gcd(from_hz, RATE_HZ)
    step, phases = from_hz // divisor, RATE_HZ // divisor
    cutoff = 0.99 * min(step, phases)
    reach = math.ceil(6 * step / cutoff)
    at = torch.arange(-reach, reach + step, dtype=torch.float64)[None] / step
    t = ((at - torch.arange(phases)[:, None] / phases) * cutoff).clamp(-6, 6)
    kernel = torch.cos(t * math.pi / 12) ** 2 * torch.sinc(t) * cutoff / step
    return kernel[:, None].float(), reach, step


def log_mel(wave: torch.Tensor) -> torch.Tensor:
    """Kaldi's filter bank, [n] -> [frames, mel]."""
    frames = wave.unfold(0, 400, 160)
    frames = frames - frames.mean(1, keepdim=True)
    before = torch.nn.functional.pad(frames[None], (1, 0), mode="replicate")[0, :, :-1]
    frames = (frames - 0.97 * before) * torch.hann_window(400, periodic=False)
    spectrum = torch.fft.rfft(torch.nn.functional.pad(frames, (0, 112))).abs().pow(2)
    return torch.mm(spectrum, mel_bank().T).clamp(min=torch.finfo(torch.float32).eps).log()


@functools.cache
def mel_bank() -> torch.Tensor:
    def mel(hz: torch.Tensor) -> torch.Tensor:
        return 1127 * torch.log(1 + hz / 700)

    low, high = mel(torch.tensor(20.0)), mel(torch.tensor(RATE_HZ / 2))
    edges = low + torch.arange(MEL_BINS + 2)[:, None] * (high - low) / (MEL_BINS + 1)
    bins = mel(torch.arange(256) * RATE_HZ / 512)[None]
    up = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.nn.functional.pad(torch.minimum(up, down).clamp(min=0), (0, 1))


def clip_tokenizer() -> transformers.PreTrainedTokenizerBase:
    """The fast CLIP tokenizer of transformers on the same merges."""
    words = [*clip_bpe.vocabulary(), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return transformers.CLIPTokenizerFast(vocabulary, clip_bpe.merges())


def text(tokenizer: transformers.PreTrainedTokenizerBase, items: list[str]) -> np.ndarray:
    cleaned = [
        " ".join(html.unescape(html.unescape(ftfy.fix_text(t))).strip().split()) for t in items
    ]
    out = tokenizer(
        cleaned, max_length=77, padding="max_length", truncation=True, return_tensors="np"
    )
    return out["input_ids"] * out["attention_mask"]  # ours pads with zeros


if __name__ == "__main__":
    main()

"""The media of items that are kept, in VIDAL's layout (LanguageBind spec 8.7).

    {folder}_resize256_skip15/{id}.mp4                          the film
    {folder}_resize256_skip15/{id}_resize256_folder/{0..7}.jpg  its stills, evenly spread
    {folder}_audio/{id}.wav                                     its sound, if it has any

A film that is small enough is taken as it is; others are written anew, with a short side of
`Out.short_px`. The film comes last: where it is, its other files are. Of a file of sound alone
there is the sound alone.
"""

import concurrent.futures
import fractions
import functools
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

from lb_jax.builder import films
from lb_jax.builder.sheet import Out
from lb_jax.builder.stage import Wants
from lb_jax.builder.store import FULL_DISK
from lb_jax.core import errors, processes
from lb_jax.corpora import captions, vidal

JPEG = [cv2.IMWRITE_JPEG_QUALITY, 93]
X264 = {"preset": "veryfast", "crf": "18", "threads": "1"}
AAC_BITS = 96_000
AS_IT_IS = ".mp4"  # ending of films that are taken as they are where they are small
CHUNK = 8  # films that a process takes at once


def write(
    films_of: Mapping[str, str],
    out: Path,
    cfg: Out,
    *,
    workers: int,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Writes the media of items; those that are there stay.

    Args:
      films_of: id -> path of its film.
      out: folder of the corpus.
      cfg: name of the folder in the layout, sizes.
      workers: processes that write.
      progress: is told how many were written.

    Raises:
      DataError: a film cannot be read any more, or the disk is full.
    """
    left = [
        (item, path) for item, path in films_of.items() if not _is_written(files(out, cfg, item))
    ]
    one = functools.partial(_write_item, out, cfg)
    if workers == 1 or len(left) <= CHUNK:
        for item in left:
            one(item)
            progress(1)
        return
    chunks = [left[i : i + CHUNK] for i in range(0, len(left), CHUNK)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, initializer=processes.one_of_several
    ) as pool:
        for count in pool.map(functools.partial(_write_items, one), chunks):
            progress(count)


def remove(items: Sequence[str], out: Path, cfg: Out) -> None:
    """Removes the media of items that are not kept any more; the film first."""
    for item in items:
        paths = files(out, cfg, item)
        for path in (paths["video"][0], *paths["image"], *paths["audio"]):
            path.unlink(missing_ok=True)
        folder = paths["image"][0].parent
        if folder.is_dir():
            folder.rmdir()


def files(out: Path, cfg: Out, item: str) -> dict[str, list[Path]]:
    """Modality -> the files of an item in the layout, whether they are there or not."""
    folder = "new_download" if cfg.folder.startswith("new_") else cfg.folder
    fields = {"folder": cfg.folder, "clips": f"{folder}_resize256_skip15", "id": item}
    return {
        name: [
            out / vidal.MEDIA_PATHS[name].format(**fields, frame=frame)
            for frame in range(captions.FRAMES_PER_ITEM if name == "image" else 1)
        ]
        for name in ("video", "image", "audio")
    }


def _is_written(paths: Mapping[str, Sequence[Path]]) -> bool:
    """Whether all there will be of an item is there; stills of a film come before its sound."""
    if paths["video"][0].is_file():
        return True
    return paths["audio"][0].is_file() and not paths["image"][0].is_file()


def _write_items(one: Callable[[tuple[str, str]], None], chunk: Sequence[tuple[str, str]]) -> int:
    for item in chunk:
        one(item)
    return len(chunk)


def _write_item(out: Path, cfg: Out, item: tuple[str, str]) -> None:
    name, source = item
    paths = files(out, cfg, name)
    count = captions.FRAMES_PER_ITEM
    try:
        with films.Film(source, source, Wants(frozenset({count}), cfg.short_px)) as film:
            sound = film.sound()
            if not film.has_pictures:
                assert sound is not None  # a film without pictures has sound
                _write_sound(paths["audio"][0], *sound)
                return
            stills = film.pictures(count)
            for path, still in zip(paths["image"], stills, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_jpeg(films.shrunk(still, cfg.short_px)))
            if sound is not None:
                _write_sound(paths["audio"][0], *sound)
            _write_film(paths["video"][0], source, film, cfg.short_px)
    except OSError as error:
        raise errors.DataError(out, f"cannot be written ({error}); {FULL_DISK}") from error


def _write_film(path: Path, source: str, film: films.Film, short_px: int) -> None:
    facts = film.facts
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    if min(facts.width, facts.height) <= short_px and source.lower().endswith(AS_IT_IS):
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)
    else:
        _encode(partial, film.every(), facts.rate_hz, film.sound())
    os.replace(partial, path)


def _encode(
    path: Path, frames: np.ndarray, rate_hz: float, sound: tuple[np.ndarray, int] | None
) -> None:
    """Writes uint8 [t, h, w, 3] as H.264, and float32 [n] as AAC, the same bytes each time."""
    rate = fractions.Fraction(rate_hz).limit_denominator(1001)
    high, wide = (side // 2 * 2 for side in frames.shape[1:3])
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        pictures = container.add_stream("libx264", rate=rate, options=X264)
        pictures.height, pictures.width, pictures.pix_fmt = high, wide, "yuv420p"
        pictures.thread_count = 1
        track = None
        if sound is not None:
            track = container.add_stream("aac", rate=sound[1])
            track.layout, track.bit_rate = "mono", AAC_BITS
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame[:high, :wide]), format="rgb24"
            )
            container.mux(pictures.encode(shown))
        container.mux(pictures.encode(None))
        if track is not None and sound is not None:
            heard = av.AudioFrame.from_ndarray(_pcm(sound[0])[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = sound[1], 0
            heard.time_base = fractions.Fraction(1, sound[1])
            container.mux(track.encode(heard))
            container.mux(track.encode(None))


def _write_sound(path: Path, wave: np.ndarray, rate_hz: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    soundfile.write(os.fsencode(partial), _pcm(wave), rate_hz, format="WAV", subtype="PCM_16")
    os.replace(partial, path)


def _pcm(wave: np.ndarray) -> np.ndarray:
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def _jpeg(picture: np.ndarray) -> bytes:
    is_done, content = cv2.imencode(".jpg", picture[..., ::-1], JPEG)
    if not is_done:
        raise OSError("OpenCV could not encode a still")
    return content.tobytes()

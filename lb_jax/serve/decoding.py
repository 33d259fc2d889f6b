"""Decoders: processes without jax that turn uploads into arrays, each in its own cage.

A decoder has bounded address space, opens no file and no socket once it is ready (its limit of
open files is what it has), and is killed when a file takes too long. One that dies takes only its
own file along.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import importlib
import io
import multiprocessing
import os
import pkgutil
import queue
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from lb_jax.core import errors, notices, processes
from lb_jax.media import faults
from lb_jax.media import specs as specs_lib
from lb_jax.serve import captions
from lb_jax.serve.limits import MIB, Limits, Refusal

START_S = 120.0  # to import what decodes, on a busy machine
HAVE_DURATION = ("audio", "video")
THUMBNAIL_PIXELS = 320  # longer side


@dataclasses.dataclass(frozen=True)
class Job:
    """What a decoder is asked.

    Attributes:
      task: a key of `TASKS`.
      modality: of the media.
      spec: its preprocessing.
      data: bytes of the file.
      start_s: where in it.
    """

    task: str
    modality: str
    spec: specs_lib.Spec
    data: bytes
    start_s: float = 0.0


class Pool:
    """A fixed number of decoders.

    Attributes:
      restarts: decoders that died or were killed, and were replaced.
    """

    def __init__(self, limits: Limits, workers: int):
        """Starts the decoders; they get ready in the background.

        Args:
          limits: duration, time and memory of one file.
          workers: number of processes.
        """
        self.restarts = 0
        self._limits = limits
        self._free: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
        self._all: list[_Decoder] = []
        self._threads = concurrent.futures.ThreadPoolExecutor(workers, "decode")
        for _ in range(workers):
            self._start()

    async def run(self, job: "Job | captions.Viewing") -> Any:
        """What the task of the job makes of its file.

        Raises:
          Refusal: when it cannot be decoded within the limits.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._work, job)

    def close(self) -> None:
        """Ends all decoders; files that are being decoded are refused."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for decoder in self._all:
            decoder.kill()

    def _work(self, job: "Job | captions.Viewing"):
        decoder = self._free.get()
        try:
            answer = decoder.ask(job, self._limits)
        except _Died as death:
            decoder.kill()
            self._all.remove(decoder)
            self._start()
            self.restarts += 1
            raise Refusal("undecodable_media", str(death)) from death
        self._free.put(decoder)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def _start(self) -> None:
        decoder = _Decoder(self._limits)
        self._all.append(decoder)
        self._free.put(decoder)


class _Died(Exception):
    """The decoder is gone, or is too slow and must go."""


class _Decoder:
    """One process and the pipe to it."""

    def __init__(self, limits: Limits):
        context = multiprocessing.get_context("spawn")  # no copy of the server's state
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, limits), name="decoder", daemon=True
        )
        self._process.start()
        theirs.close()
        self._is_ready = False

    def ask(self, job: "Job | captions.Viewing", limits: Limits):
        try:
            if not self._is_ready:
                if not self._pipe.poll(START_S):
                    raise _Died("its decoder did not start; try again")
                self._pipe.recv()
                self._is_ready = True
            self._pipe.send(job)
            if not self._pipe.poll(limits.decode_s):
                raise _Died(
                    f"takes longer than {limits.decode_s:g} s to decode; send a shorter one"
                )
            kind, answer, reasons = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _Died(
                "makes the decoder stop; it is damaged, or needs too much memory"
            ) from error
        upload = f"<{job.modality}, {len(job.data)} bytes>"  # its name is the sender's own
        notices.warn_again(errors.DataWarning(upload, reason) for reason in reasons)
        if kind == "failed":
            print(answer.traceback, file=sys.stderr, end="", flush=True)  # the server's log
            return Refusal("internal_error", "The server failed on this file; see its log.")
        return Refusal(*answer) if kind == "refused" else answer

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def serve(pipe: Connection, limits: Limits) -> None:
    """Answers jobs until the pipe is closed; what a decoder process runs."""
    for number in (signal.SIGINT, signal.SIGTERM):  # those are for the server, which ends this one
        signal.signal(number, signal.SIG_IGN)
    processes.one_of_several()
    with notices.collected():  # about the media that it makes up
        warm_up()
    cage(limits)
    pipe.send("ready")
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionError):
            return
        warned: list[errors.DataWarning] = []
        try:
            with notices.collected() as warned:
                answer = ("done", TASKS[job.task](job, limits))
        except errors.MissingError as error:
            answer = ("refused", ("missing_modality", error.reason))
        except errors.DataError as error:
            answer = ("refused", ("undecodable_media", error.reason))
        except MemoryError:
            needs = (
                f"needs more than {limits.decode_bytes // MIB} MiB to decode; send a smaller one"
            )
            answer = ("refused", ("undecodable_media", needs))
        except Refusal as refusal:
            answer = ("refused", (refusal.code, refusal.message))
        except Exception as error:  # nobody foresaw it: it must not be taken for a damaged file
            answer = ("failed", faults.Fault.of(job.modality, error))
        pipe.send((*answer, tuple(dict.fromkeys(one.reason for one in warned))))


def cage(limits: Limits) -> None:
    """Takes from this process what decoding does not need: memory, files, sockets, core dumps."""
    with open("/proc/self/statm", encoding="ascii") as file:
        own = int(file.read().split()[0]) * resource.getpagesize()
    free = os.dup(0)  # the lowest number that is free; everything from it on is out of reach
    os.close(free)
    for kind, bound in (
        (resource.RLIMIT_AS, own + limits.decode_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, free),
    ):
        resource.setrlimit(kind, (bound, bound))


def warm_up() -> None:
    """Loads what decoders load when they are first used; afterwards no file can be opened."""
    import av
    import cv2
    import soundfile

    from lb_jax.media import preprocess, specs

    for name in ("infiray_irg", "pillow_heif", "dji_thermal_cli"):
        with contextlib.suppress(ImportError):  # of the extra `sensors`, which may be lacking
            importlib.import_module(name)
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    pixels = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    depth = pixels[..., 0].astype(np.uint16) * 30 + 500
    clip, sound, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with av.open(clip, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8, width=64, height=64, pix_fmt="yuv420p")
        for frame in [av.VideoFrame.from_ndarray(pixels, format="rgb24")] * 4:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    soundfile.write(sound, np.sin(np.arange(22_050)), 22_050, format="WAV")
    np.save(array, depth)
    table, archive, columnar = golden_motion()
    for modality, data in (
        ("audio", sound.getvalue()),
        ("depth", cv2.imencode(".png", depth)[1].tobytes()),
        ("depth", array.getvalue()),
        ("image", cv2.imencode(".png", pixels)[1].tobytes()),
        ("thermal", cv2.imencode(".jpg", pixels)[1].tobytes()),
        ("video", clip.getvalue()),
        ("imu", table),
        ("imu", archive),
        ("imu", columnar),
    ):
        job = Job("preprocess", modality, specs.preset(modality), data)
        for task in (_preprocess, _thumbnail) if modality != "audio" else (_preprocess,):
            task(job, Limits())
        if modality in captions.MEDIA:
            captions.view(captions.Viewing(modality, data, captions.usual_views()), Limits())
        with contextlib.suppress(errors.DataError):  # errors load modules as well
            preprocess.preprocess(modality, [data[: len(data) // 2]], job.spec)


def golden_motion() -> tuple[bytes, bytes, bytes]:
    """Motion as CSV, NPZ and Parquet: a sensor at rest, for six seconds."""
    import pyarrow as pa
    import pyarrow.parquet

    names = ("t", "ax [m/s2]", "ay", "az", "gx [rad/s]", "gy", "gz")
    rows = np.zeros((600, 7))
    rows[:, 0], rows[:, 3] = np.arange(600) / 100, 9.81
    table, archive, columnar = io.StringIO(), io.BytesIO(), io.BytesIO()
    np.savetxt(table, rows, delimiter=",", header=",".join(names), comments="", fmt="%g")
    units = {"accel_unit": "m/s2", "gyro_unit": "rad/s", "rate_hz": 100}
    np.savez(archive, accel=rows[:, 1:4], gyro=rows[:, 4:], **units)
    pa.parquet.write_table(pa.table(dict(zip(names, rows.T, strict=True))), columnar)
    return table.getvalue().encode(), archive.getvalue(), columnar.getvalue()


def _preprocess(job: Job, limits: Limits) -> np.ndarray:
    from lb_jax.media import preprocess

    if job.modality in HAVE_DURATION:
        captions.require_short(job.data, job.modality, limits)
    return preprocess.preprocess(job.modality, [job.data], job.spec)[0]


def _thumbnail(job: Job, limits: Limits) -> bytes:
    del limits
    import cv2

    from lb_jax.media import clock as clock_lib
    from lb_jax.media import imu, preprocess, video
    from lb_jax.media.sensors import motion_picture

    if job.modality == "video":
        first = clock_lib.Choice(lambda count: np.array([0]), job.start_s, None, standing=True)
        pixels = video.choose(job.data, first)[0]
    elif isinstance(job.spec, specs_lib.ImuSpec):
        readings = imu.decode(job.data, dataclasses.replace(job.spec, short="hold"))
        last = max(len(readings) - job.spec.samples, 0)
        first = min(int(job.start_s * job.spec.grid_hz), last)
        pixels = motion_picture.draw(readings[first : first + job.spec.samples])
    else:
        pixels = preprocess.decode(job.modality, job.data, job.spec)
    if job.modality == "depth":  # near is bright
        near = 1 - np.clip(pixels / max(float(np.quantile(pixels, 0.98)), 1e-6), 0, 1)
        pixels = cv2.applyColorMap((255 * near).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    scale = min(1.0, THUMBNAIL_PIXELS / max(pixels.shape[:2]))
    size = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1])[1].tobytes()


TASKS: dict[str, Callable[[Any, Limits], object]] = {
    "preprocess": _preprocess,
    "thumbnail": _thumbnail,
    captions.Viewing.task: captions.view,
}


async def timed(work, observe: Callable[[float], None]):
    """Awaits work and tells how long it took, also when it failed."""
    began = time.monotonic()
    try:
        return await work
    finally:
        observe(time.monotonic() - began)

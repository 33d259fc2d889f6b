"""Decodes every file of a corpus in parallel; says what is wrong with it and how fast it loads."""

import collections
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from lb_jax.core import errors, logging, notices
from lb_jax.core import processes as processes_lib
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.corpora import captions
from lb_jax.corpora.quarantine import BadSample
from lb_jax.corpora.rows import Ref, Source, name_of
from lb_jax.media import audio, content, preprocess, tracks
from lb_jax.text import tokenizer

_CHUNK = 16  # rows that a process takes at a time
_LISTED = 5  # the most frequent captions that are named


@dataclasses.dataclass
class Decoded:
    """What the good files of one modality are.

    Attributes:
      files: how many.
      seconds: processor time that decoding and preprocessing took.
      sizes: "width x height" of pictures -> files.
      durations_s: of clips and sounds.
    """

    files: int = 0
    seconds: float = 0.0
    sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    durations_s: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Report:
    """What a corpus holds.

    Attributes:
      where: the corpus.
      rows: how many.
      processes: that decoded.
      wall_s: time from start to end.
      decoded: by modality.
      bad: files and captions that cannot be used, with the reason.
      remarks: files that are used but probably are not what they are taken for, with the reason.
      captions: number of captions, all kinds.
      kinds: caption kind -> rows that have one.
      rows_without: rows without any caption.
      duplicates: captions that come more than once, the most frequent first -> how often.
      truncated: captions that are longer than the text tower takes.
    """

    where: str
    rows: int
    processes: int
    wall_s: float = 0.0
    decoded: dict[str, Decoded] = dataclasses.field(default_factory=dict)
    bad: list[BadSample] = dataclasses.field(default_factory=list)
    remarks: list[BadSample] = dataclasses.field(default_factory=list)
    captions: int = 0
    kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    rows_without: int = 0
    duplicates: dict[str, int] = dataclasses.field(default_factory=dict)
    truncated: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "where": self.where,
            "rows": self.rows,
            "processes": self.processes,
            "wall_s": self.wall_s,
            "modalities": {
                name: {
                    "files": one.files,
                    "bad": sum(bad.modality == name for bad in self.bad),
                    "samples_per_s_per_process": one.files / max(one.seconds, 1e-9),
                    "sizes": dict(one.sizes.most_common()),
                    "duration_s": quantiles(one.durations_s),
                }
                for name, one in self.decoded.items()
            },
            "captions": {
                "count": self.captions,
                "kinds": dict(self.kinds),
                "rows_without": self.rows_without,
                "bad": sum(bad.modality == TEXT for bad in self.bad),
                "truncated": self.truncated,
                "repeated": len(self.duplicates),
                "most_repeated": dict(list(self.duplicates.items())[:_LISTED]),
            },
            "bad": [dataclasses.asdict(one) for one in self.bad],
            "remarks": [dataclasses.asdict(one) for one in self.remarks],
        }


def check(
    source: Source,
    specs: Mapping[str, Any],
    *,
    processes: int | None = None,
    context: int = 77,
) -> Report:
    """Decodes and preprocesses every file of every row, and tokenises every caption.

    Args:
      source: the corpus.
      specs: modality -> preprocessing; other modalities are left alone.
      processes: that work; None takes one per processor.
      context: tokens a text tower takes.
    """
    processes = processes or os.cpu_count() or 1
    report = Report(source.where, len(source), processes)
    report.decoded = {name: Decoded() for name in MODALITIES if name in specs}
    texts: collections.Counter[str] = collections.Counter()
    start = time.perf_counter()
    with logging.Progress(f"check {source.where}", len(source), unit="row") as progress:
        for done in _mapped(source, specs, context, processes):
            _add(report, texts, done)
            progress.advance(done.rows, f"{len(report.bad)} bad")
    report.wall_s = time.perf_counter() - start
    report.duplicates = {text: n for text, n in texts.most_common() if n > 1}
    return report


@dataclasses.dataclass
class _Part:
    """What one process found in some rows."""

    rows: int
    good: list[tuple[str, float, dict[str, Any]]]  # modality, seconds, what the file is
    bad: list[BadSample]
    remarks: list[BadSample]
    texts: list[str]
    truncated: int
    kinds: list[str]  # of every row in turn
    rows_without: int


def _mapped(
    source: Source, specs: Mapping[str, Any], context: int, processes: int
) -> Iterator[_Part]:
    chunks = [range(i, min(i + _CHUNK, len(source))) for i in range(0, len(source), _CHUNK)]
    if processes == 1:
        yield from (_check_rows(source, specs, context, chunk) for chunk in chunks)
        return
    spawned = multiprocessing.get_context("spawn")  # threads of this process do not survive a fork
    with futures.ProcessPoolExecutor(
        processes, spawned, initializer=_start, initargs=(source, specs, context)
    ) as pool:
        yield from pool.map(_in_process, chunks)


_STATE: list[Any] = []  # of a working process: source, specs, context


def _start(*state: Any) -> None:
    processes_lib.one_of_several()
    _STATE[:] = state


def _in_process(chunk: range) -> _Part:
    source, specs, context = _STATE
    return _check_rows(source, specs, context, chunk)


def _check_rows(
    source: Source, specs: Mapping[str, Any], context: int, chunk: Sequence[int]
) -> _Part:
    part = _Part(len(chunk), [], [], [], [], 0, [], 0)
    for number in chunk:
        try:
            row = source[number]
        except errors.DataError as error:
            part.bad.append(BadSample("row", error.path, error.reason))
            continue
        where = f"{source.where}: {row.id}"
        for modality, files in row.media.items():
            if modality in specs:
                for frame, file in enumerate(files):
                    name = name_of(file, f"{where}, {modality} {frame}")
                    _check_file(part, modality, file, name, specs[modality])
        part.kinds += row.texts
        part.rows_without += not row.texts
        for kind in row.texts:
            for text in captions.all_texts(row, kind):
                try:
                    part.truncated += tokenizer.count_truncated(text, context)
                    part.texts.append(text)
                except errors.DataError as error:
                    part.bad.append(BadSample(TEXT, f"{where}, {kind}", error.reason))
    return part


def _check_file(part: _Part, modality: str, file: Ref, name: str, spec: Any) -> None:
    start = time.thread_time()
    try:
        with notices.collected() as warned:
            decoded = preprocess.decode(modality, file, spec)
            preprocess.transform(modality, decoded, spec, None)
        seconds = time.thread_time() - start
        content.require_content(modality, decoded, name, spec)
        part.good.append((modality, seconds, _facts(modality, file, decoded, spec)))
        reasons = dict.fromkeys(one.reason for one in warned)
        part.remarks += [BadSample(modality, name, reason) for reason in reasons]
    except errors.DataError as error:
        part.bad.append(BadSample(modality, name, error.reason))


def _facts(modality: str, file: Ref, decoded: np.ndarray, spec: Any) -> dict[str, Any]:
    """Size and duration."""
    if modality == "audio":
        return {"duration_s": audio.duration_s(decoded, spec)}
    if modality == "imu":
        return {"duration_s": len(decoded) / spec.grid_hz}
    height, width = decoded.shape[1:3] if MODALITIES[modality].has_frames else decoded.shape[:2]
    facts: dict[str, Any] = {"size": f"{width}x{height}"}
    if MODALITIES[modality].has_frames and not isinstance(file, tuple):
        facts["duration_s"] = tracks.duration_s(file, modality)
    return facts


def _add(report: Report, texts: collections.Counter, part: _Part) -> None:
    for modality, seconds, facts in part.good:
        one = report.decoded[modality]
        one.files += 1
        one.seconds += seconds
        if "size" in facts:
            one.sizes[facts["size"]] += 1
        if facts.get("duration_s") is not None:
            one.durations_s.append(facts["duration_s"])
    report.bad += part.bad
    report.remarks += part.remarks
    report.captions += len(part.texts)
    report.truncated += part.truncated
    report.kinds.update(part.kinds)
    report.rows_without += part.rows_without
    texts.update(part.texts)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Least, median, largest and sum; nothing of nothing."""
    if not values:
        return {}
    return {
        "min": float(np.min(values)),
        "median": float(np.median(values)),
        "max": float(np.max(values)),
        "total": float(np.sum(values)),
    }


def loading_share(report: Report, modality: str, batch_size: int, step_s: float) -> float:
    """Time that loading a batch takes with the processes that checked, as a share of a step."""
    one = report.decoded[modality]
    per_sample = one.seconds / max(one.files, 1)
    return batch_size * per_sample / report.processes / step_s

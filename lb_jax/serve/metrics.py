"""Counters and histograms in the text format of Prometheus (version 0.0.4)."""

import bisect
import collections
from collections.abc import Callable, Mapping, Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ITEMS = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """A number by labels that only rises."""

    kind = "counter"

    def __init__(self, name: str, help_: str, labels: Sequence[str] = ()):
        self.name, self.help, self.labels = name, help_, tuple(labels)
        self._values: dict[tuple[str, ...], float] = collections.defaultdict(float)

    def add(self, *labels: object, value: float = 1) -> None:
        """Adds to the number of these label values, given in the order of the labels."""
        self._values[tuple(map(str, labels))] += value

    def lines(self) -> list[str]:
        """The lines of all label values."""
        return [
            f"{self.name}{_labelled(self.labels, key)} {value:g}"
            for key, value in sorted(self._values.items())
        ]


class Gauge:
    """A number that is asked for when it is read."""

    kind = "gauge"

    def __init__(self, name: str, help_: str, ask: Callable[[], float]):
        self.name, self.help, self._ask = name, help_, ask

    def lines(self) -> list[str]:
        """The line of the number."""
        return [f"{self.name} {self._ask():g}"]


class Histogram:
    """How often a value was at most each bound, by labels."""

    kind = "histogram"

    def __init__(self, name: str, help_: str, bounds: Sequence[float], labels: Sequence[str] = ()):
        self.name, self.help, self.labels, self._bounds = name, help_, tuple(labels), tuple(bounds)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = collections.defaultdict(float)

    def observe(self, value: float, *labels: object) -> None:
        """Counts a value of these label values, given in the order of the labels."""
        key = tuple(map(str, labels))
        counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sums[key] += value

    def lines(self) -> list[str]:
        """The lines of all label values: cumulated counts, their sum and their number."""
        out = []
        names = (*self.labels, "le")
        for key, counts in sorted(self._counts.items()):
            total = 0
            for bound, count in zip((*self._bounds, "+Inf"), counts, strict=True):
                total += count
                label = bound if isinstance(bound, str) else f"{bound:g}"
                out.append(f"{self.name}_bucket{_labelled(names, (*key, label))} {total}")
            out.append(f"{self.name}_sum{_labelled(self.labels, key)} {self._sums[key]:g}")
            out.append(f"{self.name}_count{_labelled(self.labels, key)} {total}")
        return out


class Metrics:
    """Everything that `/metrics` shows.

    Args:
      gauges: name -> (what it is, function that reads it).
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]):
        self.requests = Counter(
            "lb_jax_requests_total", "Requests answered.", ("route", "method", "status")
        )
        self.seconds = Histogram(
            "lb_jax_request_seconds", "Time from head to answer.", SECONDS, ("route",)
        )
        self.decode_seconds = Histogram(
            "lb_jax_decode_seconds", "Time that a file took to decode.", SECONDS, ("modality",)
        )
        self.decode_failures = Counter(
            "lb_jax_decode_failures_total", "Files that were refused.", ("modality", "code")
        )
        self.batch_items = Histogram(
            "lb_jax_batch_items", "Items that the model embedded at once.", ITEMS, ("modality",)
        )
        self.written_items = Histogram(
            "lb_jax_written_items", "Items that were written about at once.", ITEMS, ("group",)
        )
        self._gauges = [Gauge(name, *row) for name, row in gauges.items()]

    def text(self) -> str:
        """The whole page."""
        rows = [
            self.requests,
            self.seconds,
            self.decode_seconds,
            self.decode_failures,
            self.batch_items,
            self.written_items,
            *self._gauges,
        ]
        out = []
        for row in rows:
            out += [f"# HELP {row.name} {row.help}", f"# TYPE {row.name} {row.kind}", *row.lines()]
        return "\n".join(out) + "\n"


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = zip(names, values, strict=True)
    escaped = (
        (name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in pairs
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"

"""Plots as inline SVG that takes its colours from the page, so one file serves light and dark."""

import base64
import hashlib
import html
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 34
MAX_POINTS = 240
LINE = 13  # height of a line of text


def line_chart(
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    styles: Mapping[str, str],
    label: str,
    across: str = "step",
) -> str:
    """Draws lines over a shared axis from 0 or below.

    Args:
      series: name -> (x [n], y [n]), finite, n at least 1. More than `MAX_POINTS` points are
        averaged in runs.
      styles: name -> CSS class of the line.
      label: what the picture shows, for readers who cannot see it.
      across: what the x axis counts.

    Returns:
      One `<svg>` element.
    """
    xs, ys = (np.concatenate([line[axis] for line in series.values()]) for axis in (0, 1))
    x_ticks, y_ticks = _ticks(xs.min(), xs.max()), _ticks(min(ys.min(), 0), ys.max())
    x_low, x_high = xs.min(), xs.max() if xs.max() > xs.min() else xs.min() + 1
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        right = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return right, HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(
                f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
            )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 2}" text-anchor="middle">'
        f"{across}</text>"
    )
    for name, (x, y) in series.items():
        points = " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(*place(*_thin(x, y)), strict=True))
        title = f"<title>{html.escape(name)}: {y[0]:.3g} to {y[-1]:.3g}</title>"
        parts.append(f'<polyline class="{styles[name]}" points="{points}">{title}</polyline>')
    return _svg("chart", WIDTH, HEIGHT, label, "".join(parts))


def scatter(points: Mapping[str, np.ndarray], styles: Mapping[str, str], label: str) -> str:
    """Draws clouds of points on equal axes without numbers.

    Args:
      points: name -> float `[n, 2]`, finite.
      styles: name -> CSS class.
      label: what the picture shows, for readers who cannot see it.

    Returns:
      One `<svg>` element.
    """
    everything = np.concatenate(list(points.values()))
    low, spread = everything.min(0), max(float(np.ptp(everything, axis=0).max()), 1e-6)
    scale = (HEIGHT - TOP - BOTTOM) / spread
    parts = []
    for name, cloud in points.items():
        title = f"<title>{html.escape(name)}</title>"
        places = (cloud - low) * scale + [LEFT, TOP]
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
        parts.append(f'<g class="{styles[name]}">{title}{dots}</g>')
    return _svg("chart", WIDTH, HEIGHT, label, "".join(parts))


def legend(styles: Mapping[str, str]) -> str:
    """Returns a `<div>` that names what is drawn, name -> CSS class."""
    names = (
        f'<span><i class="{kind}"></i>{html.escape(name)}</span>' for name, kind in styles.items()
    )
    return f'<div class="legend">{"".join(names)}</div>'


def heat_map(matrix: np.ndarray, groups: Sequence[str], label: str) -> str:
    """Draws a square matrix as shades of the page's accent colour.

    The runs of equal `groups` are named on both sides, as far as there is room.

    Args:
      matrix: float `[n, n]`; its smallest value is drawn as the background, its largest as the full
        colour.
      groups: the group of each row and column, equal ones side by side.
      label: what the picture shows, for readers who cannot see it.

    Returns:
      One `<svg>` element.
    """
    n, side, left, top = len(matrix), 240, 68, 64
    cell = side / n
    spread = max(float(np.ptp(matrix)), 1e-6)
    shade = np.rint(255 * (matrix - matrix.min()) / spread).astype(np.uint8)
    mask = np.dstack(
        [np.full((n, n, 3), 255, np.uint8), shade]
    )  # a mask lets CSS choose the colour
    buffer = io.BytesIO()
    Image.fromarray(mask, "RGBA").save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    box = f'x="{left}" y="{top}" width="{side}" height="{side}"'
    key = "m" + hashlib.sha256(uri.encode()).hexdigest()[:12]
    parts = [
        f'<mask id="{key}" style="mask-type:alpha"><image {box} href="{uri}" '
        'preserveAspectRatio="none"/></mask>',
        f'<rect class="back" {box}/><rect class="heat" {box} mask="url(#{key})"/>',
    ]
    starts = [i for i in range(n) if i == 0 or groups[i] != groups[i - 1]]
    named = -math.inf
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        middle = (start + end) / 2 * cell
        if middle - named >= LINE:  # names that would touch the one before are left out
            named = middle
            parts += _names(groups[start], left, top, middle)
        if start:
            at = start * cell
            parts.append(
                f'<path class="grid" d="M{left + at:.1f} {top}v{side}M{left} '
                f'{top + at:.1f}h{side}"/>'
            )
    return _svg("matrix", left + side + 28, top + side + 2, label, "".join(parts))


def _names(name: str, left: float, top: float, middle: float) -> list[str]:
    """A group's name beside its rows and above its columns."""
    name = html.escape(name)
    turn = f'transform="translate({left + middle + 3:.1f} {top - 5}) rotate(-60)"'
    return [
        f'<text x="{left - 5}" y="{top + middle + 4:.1f}" text-anchor="end">{name}</text>',
        f"<text {turn}>{name}</text>",
    ]


def _svg(kind: str, width: int, height: int, label: str, content: str) -> str:
    attributes = (
        f'class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(label)}"'
    )
    return f"<svg {attributes}>{content}</svg>"


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers that enclose the range."""
    span = max(high - low, 1e-9)
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= 5)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages runs of neighbouring points until `MAX_POINTS` remain."""
    if len(x) <= MAX_POINTS:
        return x, y
    starts = np.linspace(0, len(x), MAX_POINTS, endpoint=False).astype(int)
    sizes = np.diff([*starts, len(x)])
    return np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes

"""Charts stay inside their picture."""

import re

import numpy as np

from lb_jax.evaluation.reports import figures


def test_a_chart_draws_every_line_inside_the_picture():
    x = np.arange(1000.0)
    lines = {"a": (x, np.exp(-x / 100)), "b": (np.array([5.0]), np.array([-2.0]))}
    svg = figures.line_chart(lines, {"a": "s-a", "b": "s-b"}, "two lines")
    for points in re.findall(r'points="([^"]+)"', svg):
        across, down = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
        assert 0 <= min(across) <= max(across) <= figures.WIDTH
        assert 0 <= min(down) <= max(down) <= figures.HEIGHT
        assert len(across) <= figures.MAX_POINTS
    assert svg.count("<polyline") == 2

"""Motion as a picture: curves of both sensors, for thumbnails."""

import cv2
import numpy as np

HEIGHT, WIDTH = 240, 320
PAPER, AXIS = (250, 250, 248), (205, 205, 200)
COLOURS = ((217, 83, 79), (76, 153, 76), (66, 120, 190))  # x, y, z
MOST = 1000  # points of a curve


def draw(readings: np.ndarray) -> np.ndarray:
    """Draws the accelerometer above the gyroscope, each on a scale of its own.

    Args:
      readings: float [n, 6], accelerometer x, y, z, then gyroscope.

    Returns:
      uint8 [HEIGHT, WIDTH, 3].
    """
    picture = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    few = readings[np.linspace(0, len(readings) - 1, min(len(readings), MOST)).astype(int)]
    half = HEIGHT // 2
    for top, three in ((0, few[:, :3]), (half, few[:, 3:])):
        low, high = float(min(three.min(), 0)), float(max(three.max(), 0))
        scale = (half - 12) / max(high - low, 1e-6)
        zero = round(top + half - 6 + low * scale)
        cv2.line(picture, (0, zero), (WIDTH, zero), AXIS, 1)
        across = np.linspace(4, WIDTH - 4, len(three))
        for values, colour in zip(three.T, COLOURS, strict=True):
            points = np.stack([across, top + half - 6 - (values - low) * scale], axis=1)
            drawn = np.round(points).astype(np.int32)[None]
            cv2.polylines(picture, drawn, isClosed=False, color=colour, thickness=1)
    return picture

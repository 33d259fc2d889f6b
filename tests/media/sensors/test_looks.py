"""What grey pictures of more than 8 bits are, by their values."""

import numpy as np
import pytest

from lb_jax.media.sensors import looks
from tests.media import media_files

RAMP = np.linspace(0, 1, 60 * 80).reshape(60, 80)
HOLED = np.where(np.arange(80) % 7 == 0, 0, 1)

CASES = {
    "a room in millimetres": (900 + 2000 * RAMP, np.uint16, "depth"),
    "with holes": ((900 + 2000 * RAMP) * HOLED, np.uint16, "depth"),
    "a street in millimetres": (2000 + 17_000 * RAMP, np.uint16, "depth"),
    "centikelvin": (29_315 + 1200 * RAMP, np.uint16, "thermal"),
    "centikelvin with holes": ((29_315 + 1200 * RAMP) * HOLED, np.uint16, "thermal"),
    "kelvin": (293.15 + 12 * RAMP, np.float32, "thermal"),
    "a sensor's counts": (7200 + 800 * RAMP, np.uint16, "unclear"),
    "FLIR TLinear of 0.04 K": (7300 + 300 * RAMP, np.uint16, "unclear"),
    "TUM, 5000 to a metre": (4000 + 36_000 * RAMP, np.uint16, "unclear"),
    "a full range": (65_535 * RAMP, np.uint16, "unclear"),
    "labels": (20 * RAMP, np.uint16, "unclear"),
    "nothing": (0 * RAMP, np.uint16, "unclear"),
    "metres": (1 + 4 * RAMP, np.float32, "unclear"),
    "degrees Celsius": (20 + 12 * RAMP, np.float32, "unclear"),
}


@pytest.mark.parametrize("name", CASES)
def test_values_tell_depth_from_temperatures_or_are_unclear(name):
    values, kind, expected = CASES[name]
    assert looks.by_values(values.astype(kind)) == expected


def test_only_grey_pictures_of_more_than_8_bits_are_looked_at(tmp_path):
    deep = media_files.picture(CASES["centikelvin"][0].astype(np.uint16))
    for name, content, expected in (
        ("deep.png", deep, "thermal"),
        ("deep.jpg", deep, ""),
        ("cut.png", deep[: len(deep) // 2], ""),
        ("grey.png", media_files.picture((255 * RAMP).astype(np.uint8)), ""),
        ("text.tif", b"II*\0nothing", ""),
    ):
        (tmp_path / name).write_bytes(content)
        assert looks.what(tmp_path / name) == expected, name
    assert looks.what(tmp_path / "no.png") == ""
    assert looks.what(tmp_path) == ""

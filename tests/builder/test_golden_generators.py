"""The whole way of LanguageBind's scripts, from frame to file (golden README of vidal_generators).

Sizes of the scripts are constants of the presets `reference`; all else is read from the folder.
"""

import dataclasses
import functools
import io

import numpy as np
import pytest
from PIL import Image

from lb_jax.builder import depth, infrared, resizing
from tests import generators as golden

pytestmark = [pytest.mark.golden, golden.needs_folder]

FRAMED = ("landscape", "portrait")
DEPTH, INFRARED = depth.PRESETS["reference"], infrared.PRESETS["reference"]


@functools.cache
def made_depth():
    return depth.Depth(depth.load(golden.GLPN, batch_size=1), DEPTH)


@functools.cache
def translator():
    return infrared.load(golden.MUNIT, batch_size=1)


@functools.cache
def translated(case, antialias=False):
    """The generator, what the network sees of a frame, and what it makes of it."""
    options = dataclasses.replace(INFRARED, in_antialias=antialias)
    made = infrared.Infrared(translator(), options)
    pictures = made.pictures(golden.io(golden.MUNIT, f"{case}/frame")[None])
    style = golden.io(golden.MUNIT, f"{case}/style")[..., 0, 0]
    return made, pictures, made.run(pictures, style)


def sides(folder, case):
    return golden.io(folder, f"{case}/frame").shape[:2]


def test_both_resizes_before_glpn():
    frame = golden.io(golden.GLPN, "landscape/frame")
    first = resizing.by_opencv(frame, DEPTH.first)
    np.testing.assert_array_equal(first, golden.io(golden.GLPN, "landscape/resized"))
    (prepared,) = made_depth().prepare(frame[None], "a film")
    np.testing.assert_array_equal(prepared[0], golden.io(golden.GLPN, "landscape/processed"))


def test_metres_and_their_resize():
    metres = made_depth().run(golden.io(golden.GLPN, "landscape/processed")[None])
    assert golden.gap(metres[0], golden.io(golden.GLPN, "landscape/depth")) <= 3e-4
    expected = golden.io(golden.GLPN, "landscape/depth_resized")
    resized = resizing.by_weights(metres[0], expected.shape, DEPTH.kernel, DEPTH.antialias)
    assert golden.gap(resized, expected) <= 1e-3


def test_units_of_given_metres_are_exact():
    found = depth.units(golden.io(golden.GLPN, "landscape/depth_resized"), DEPTH)
    np.testing.assert_array_equal(found, golden.io(golden.GLPN, "landscape/depth_mm"))


@pytest.mark.parametrize("case", FRAMED)
def test_depth_of_a_frame_is_within_a_millimetre(case, tmp_path):
    made = made_depth()
    (prepared,) = made.prepare(golden.io(golden.GLPN, f"{case}/frame")[None], "a film")
    pictures = made.finish(made.run(prepared), sides(golden.GLPN, case))
    assert golden.off_by_one(pictures[0], golden.io(golden.GLPN, f"{case}/depth_mm")) <= 0.02
    made.write(tmp_path, pictures)
    with Image.open(tmp_path / "0.png") as file:
        assert file.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(file), pictures[0])


@pytest.mark.parametrize(
    "name", [name for case in FRAMED for name in golden.names(golden.MUNIT, f"{case}/net_input")]
)
def test_what_the_translator_sees(name):
    case, antialias = name.partition("/")[0], "antialias" in name
    _, pictures, _ = translated(case, antialias)
    expected = golden.last(golden.io(golden.MUNIT, name))
    assert golden.gap(pictures[0, ::5, ::5], expected) <= 1e-5


def test_translated_and_resized():
    made, _, found = translated("landscape")
    expected = golden.last(golden.io(golden.MUNIT, "landscape/decoded_every5"))
    assert golden.gap(found[0, ::5, ::5], expected) <= 1e-4
    (resized,) = made.resized(found, sides(golden.MUNIT, "landscape"))
    assert golden.gap(resized, golden.last(golden.io(golden.MUNIT, "landscape/resized"))) <= 2e-4


@pytest.mark.parametrize("case", FRAMED)
@pytest.mark.parametrize("antialias", [False, True])
def test_thermal_of_a_frame_is_within_a_grey_level(case, antialias, tmp_path):
    made, _, found = translated(case, antialias)
    pictures = made.finish(found, sides(golden.MUNIT, case))
    expected = golden.io(golden.MUNIT, f"{case}/thermal{'_antialias' if antialias else ''}")
    assert golden.off_by_one(pictures[0], expected) <= 0.002
    made.write(tmp_path, [expected])
    content = io.BytesIO()
    Image.fromarray(expected).save(content, "JPEG")
    assert (tmp_path / "0.jpg").read_bytes() == content.getvalue()

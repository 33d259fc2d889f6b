import pytest

from lb_jax.core import errors
from lb_jax.media.sensors import cameras


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ("kinect", {"focal_px": 518.86, "baseline_m": 0.075}),
        ("Kinect", {"focal_px": 518.86, "baseline_m": 0.075}),
        (518.86, {"focal_px": 518.86}),
        ("600", {"focal_px": 600.0}),
        ("xtion:570.3", {"focal_px": 570.3, "baseline_m": 0.095}),
        ("realsense: 691.6", {"focal_px": 691.6, "baseline_m": 0.095}),
        ("kinect:525", {"focal_px": 525.0, "baseline_m": 0.075}),
    ],
)
def test_a_camera_is_its_focal_length_and_baseline(given, fields):
    assert cameras.parse(given) == fields


@pytest.mark.parametrize("given", ["xtion", "kinekt", "xtoin:570", 0, -5, "inf", "", ":500", "nan"])
def test_what_is_no_camera_is_refused(given):
    with pytest.raises(errors.ConfigError, match=r"depth camera is .*; expected a focal length"):
        cameras.parse(given)

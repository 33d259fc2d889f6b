import dataclasses
import io
import warnings

import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import depth, specs
from lb_jax.media.sensors import depth_units
from tests.media import media_files

SPEC = specs.DepthSpec()
MM = np.random.default_rng(0).integers(500, 6000, (40, 50)).astype(np.uint16)


def _flat(metres, spec=SPEC):
    out = depth.transform(depth.decode(np.full((9, 9), metres, np.float32), spec), spec)
    return out[100, 100] * spec.std + spec.mean


def test_files_pil_images_and_arrays_agree_in_metres():
    expected = MM / 1000
    for item in (
        media_files.picture(MM),
        media_files.picture(MM, "TIFF"),
        Image.fromarray(MM),
        MM,
        expected,
    ):
        decoded = depth.decode(item, SPEC)
        assert decoded.dtype == np.float32
        np.testing.assert_allclose(decoded, expected, rtol=1e-6)


def _npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [MM, MM.astype(">u2"), MM / 1000, (MM / 1000).astype(np.float16), np.asfortranarray(MM)],
)
def test_saved_arrays_are_read(array, tmp_path):
    (tmp_path / "dep0.npy").write_bytes(_npy(array))
    for item in (_npy(array), tmp_path / "dep0.npy"):
        decoded = depth.decode(item, SPEC)
        assert decoded.dtype == np.float32
        np.testing.assert_allclose(decoded, MM / 1000, rtol=2e-3)


class _Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_npy(MM)[:-1], "no array"),
        (_npy(MM)[:9], "no array"),
        (_npy(np.array([_Trap()], object), allow_pickle=True), "no array"),
        (_npy(MM).replace(b"(40, 50)", b"(40,5e)0"), "no array"),
        (_npy(MM).replace(b"(40, 50), }    ", b"(40, 500000000)"), "no array"),
        (_npy(MM[None]), r"uint16 \[1, 40, 50\].*accepted"),
        (_npy(MM.astype(np.uint8)), "uint8"),
        (_npy(np.full((4, 4), np.nan)), "no reading.*NaN"),
    ],
)
def test_saved_arrays_that_are_no_depth_are_refused(data, reason):
    with pytest.raises(errors.DataError, match=reason):
        depth.decode(data, SPEC)


def test_other_units_are_given_in_the_spec():
    np.testing.assert_allclose(
        depth.decode(MM, specs.DepthSpec(unit_m=0.0001)), MM / 10_000, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (media_files.picture(np.zeros((4, 4, 3), np.uint8)), "8-bit with channels R/G/B"),
        (media_files.picture(np.full((4, 4), 9, np.uint8)), "8-bit with channels L"),
    ],
)
def test_renderings_are_refused_with_what_was_found(item, found):
    with pytest.raises(errors.DataError, match=f"{found}.*expected one 16-bit channel"):
        depth.decode(item, SPEC)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16), np.zeros((0, 4))]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(errors.DataError, match="uint16 array"):
        depth.decode(array, SPEC)


@pytest.mark.parametrize("value", [0, 12_000])
def test_depth_outside_the_range_is_refused(value):
    with pytest.raises(errors.DataError, match="unit_m"):
        depth.decode(np.full((4, 4), value, np.uint16), SPEC)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e10, 0, -1])
def test_what_is_no_number_of_metres_is_no_reading(value):
    for kind in (np.float32, np.float64):
        decoded = depth.decode(np.array([[1.0, value]], kind), SPEC)
        np.testing.assert_array_equal(decoded.clip(0), [[1, 0]])


def test_metres_are_divided_by_the_maximum_depth():
    np.testing.assert_allclose(_flat(2.5), [0.25] * 3, atol=1e-5)
    np.testing.assert_allclose(_flat(2.5, specs.DepthSpec(max_depth_m=None)), [1.0] * 3, atol=1e-5)


def test_values_beyond_the_range_are_clipped():
    metres = np.full((300, 300), 0.0, np.float32)
    metres[:, 150:] = 50.0
    out = depth.transform(depth.decode(np.where(metres == 0, 1, metres), SPEC), SPEC)
    np.testing.assert_allclose((out * SPEC.std + SPEC.mean)[0, 220], [1.0] * 3, atol=1e-5)
    assert out.shape == (224, 224, 3)
    assert out.dtype == np.float32


SCENE_MM = np.linspace(2400, 4900, 2400).reshape(40, 60).astype(int)
SCENE_MM[:8] = 0
STREET = np.linspace(5 * 256, 60 * 256, 2400).reshape(40, 60).astype(int)  # 256 units a metre


def _said(stored, spec=SPEC):
    """What is said about a map: a refusal, or the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            depth.decode(stored.astype(np.uint16), spec)
        except errors.DataError as error:
            return f"refused: {error}"
    return " ".join(str(one.message) for one in caught)


@pytest.mark.parametrize(
    ("stored", "unit"),
    [
        (SCENE_MM * 5, "tum"),
        (SCENE_MM * 10, "realsense-d405"),
        (SCENE_MM * 4, "matterport"),
        ((SCENE_MM << 3) | (SCENE_MM >> 13), "m with sunrgbd"),
        (np.where(SCENE_MM, SCENE_MM * 5, 65535), "tum"),
        (np.where(SCENE_MM > 4800, 4000, SCENE_MM * 5), "tum"),
        (np.where(SCENE_MM, 3, 0), "cm"),
    ],
)
def test_a_wrong_unit_is_told_in_spite_of_missing_readings(stored, unit):
    said = _said(stored)
    assert "--depth-unit" in said
    assert unit in said or unit == "cm"


@pytest.mark.parametrize(
    ("stored", "spec"),
    [
        (SCENE_MM, SPEC),
        (np.where(SCENE_MM, SCENE_MM, 65535), SPEC),
        (np.where(SCENE_MM > 4000, 30_000, SCENE_MM), SPEC),  # a third is far
        (SCENE_MM * 5, specs.DepthSpec(unit_m=1 / 5000)),
        (STREET * (np.arange(60) % 9 == 0), specs.DepthSpec(unit_m=1 / 256)),  # sparse
    ],
)
def test_a_right_unit_passes_without_a_word(stored, spec):
    assert _said(stored, spec) == ""


def test_floating_point_that_is_no_metres_is_told():
    with pytest.raises(errors.DataError, match=r"read as metres.*millimetres divided by 1000"):
        depth.decode(SCENE_MM.astype(np.float32), SPEC)


def test_distances_along_the_ray_become_depth_along_the_axis():
    focal, (height, width) = 886.81 / 1024, (768, 1024)
    y, x = np.mgrid[:height, :width]
    aside = (x - 511.5) ** 2 + (y - 383.5) ** 2
    wall = 2 * np.sqrt(1 + aside / 886.81**2)  # 2 m ahead, seen from all rays
    decoded = depth.decode(
        depth_units.Measured(wall.astype(np.float32), "hypersim"), specs.DepthSpec()
    )
    np.testing.assert_allclose(decoded, 2, rtol=1e-5)
    assert depth_units.UNITS["hypersim"].ray_focal == focal


def test_whole_numbers_of_any_width_and_order_are_units():
    for kind in (">u2", "<i2", "i4", ">u4", "u8"):
        np.testing.assert_allclose(depth.decode(MM.astype(kind), SPEC), MM / 1000, rtol=1e-6)


DISPARITY = dataclasses.replace(specs.preset("depth", "imagebind"), focal_px=500.0, size=8)


def test_disparity_is_baseline_times_focal_length_by_depth():
    metres = np.full((8, 8), 2.0, np.float32)
    metres[:4] = 5.0
    found = depth.transform(depth.decode(metres, DISPARITY), DISPARITY)
    assert found.shape == (8, 8, 1)
    shares = 0.075 * 500 / metres / 75
    np.testing.assert_allclose(found[..., 0], (shares - 0.0418) / 0.0295, atol=1e-4)


def test_disparity_is_bounded_near_and_far():
    metres = np.array([[0.02, 0.3], [80.0, 1e4]], np.float32).repeat(4, 0).repeat(4, 1)
    found = depth.disparity(metres, np.clip(metres, 0.01, 50.0), DISPARITY)
    np.testing.assert_allclose(found[::4, ::4], [[75, 75], [0.75, 0.75]], rtol=1e-5)


def test_a_hole_is_far_or_near_as_the_spec_says():
    metres = np.full((8, 8), 2.0, np.float32)
    metres[3, 3] = 0
    clipped = np.clip(metres, 0.01, 50.0)
    assert depth.disparity(metres, clipped, DISPARITY)[3, 3] == 0
    near = dataclasses.replace(DISPARITY, holes="near")
    assert depth.disparity(metres, clipped, near)[3, 3] == 75


def test_disparity_without_a_focal_length_is_asked_for():
    spec = specs.preset("depth", "imagebind")
    with pytest.raises(errors.DataError, match=r"focal length.*not known.*--depth-camera"):
        depth.decode(np.full((8, 8), 2.0, np.float32), spec)

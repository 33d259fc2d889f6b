import pytest

from lb_jax.core import errors
from lb_jax.media import settings, specs

SPECS = {
    "depth": specs.DepthSpec(),
    "thermal": specs.ThermalSpec(),
    "video": specs.VideoSpec(),
    "imu": specs.ImuSpec(),
}


def test_settings_become_fields_of_the_specs():
    given = settings.Settings("sunrgbd", (273.15, 323.15), "kelvin")
    found = given.apply(SPECS, "model")
    assert found["depth"] == specs.DepthSpec(unit_m=0.001, rotated_bits=3)
    assert found["thermal"] == specs.ThermalSpec(range_k=(273.15, 323.15), unit="kelvin")
    assert found["video"] is SPECS["video"]


def test_settings_of_motion_become_fields_of_its_spec():
    given = settings.Settings(
        imu_units="g, deg/s",
        imu_rate=50,
        imu_columns="a,b,c,d,e,f",
        imu_interpolate=0.1,
        imu_short="hold",
    )
    assert given.apply(SPECS, "model")["imu"] == specs.ImuSpec(
        accel_unit="g",
        gyro_unit="deg/s",
        rate_hz=50.0,
        columns="a,b,c,d,e,f",
        interpolate_s=0.1,
        short="hold",
    )
    assert settings.from_json(settings.to_json(given)) == given
    assert " --imu-units 'g, deg/s' --imu-rate 50 --imu-columns a,b,c" in given.options
    half = settings.Settings(imu_units="auto,dps").apply(SPECS, "model")["imu"]
    assert half == specs.ImuSpec(gyro_unit="deg/s")


def test_a_camera_is_for_models_that_take_disparity():
    taken = {"depth": specs.preset("depth", "imagebind")}
    found = settings.Settings(depth_camera="kinect").apply(taken, "model")["depth"]
    assert (found.focal_px, found.baseline_m) == (518.86, 0.075)
    with pytest.raises(errors.ConfigError, match="takes depth in metres"):
        settings.Settings(depth_camera="kinect").apply(SPECS, "model")


def test_settings_survive_json():
    for given in (settings.NOTHING, settings.Settings(0.00025), settings.Settings("tum", (1, 2))):
        assert settings.from_json(settings.to_json(given)).changes == given.changes
    assert settings.from_json(None) == settings.NOTHING
    assert not settings.NOTHING


def test_settings_are_told_as_options():
    given = settings.Settings("tum", (273.15, 323.15))
    assert given.options == " --depth-unit tum --thermal-range 273.15 323.15"
    assert str(given) == "depth unit tum, thermal range 273.15 323.15"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"depth_unit": "kiti"}, "Did you mean 'kitti'"),
        ({"depth_unit": 0}, "depth unit is 0"),
        ({"thermal_range": (300, 280)}, "range_k"),
        ({"thermal_unit": "kelvins"}, "Did you mean 'kelvin'"),
        ({"depth_camera": "kinekt"}, "Did you mean 'kinect'"),
        ({"imu_units": "g"}, "expected two with a comma"),
        ({"imu_units": "g,rpm"}, "imu units is|imu units are"),
        ({"imu_rate": 0}, "rate_hz"),
        ({"imu_columns": "a,b"}, "columns are"),
        ({"imu_interpolate": -1}, "interpolate_s"),
        ({"imu_short": "pad"}, "short is"),
    ],
)
def test_wrong_settings_are_refused(given, reason):
    with pytest.raises(errors.ConfigError, match=reason):
        settings.Settings(**given)


def test_a_setting_of_a_modality_that_is_not_there_is_refused():
    with pytest.raises(errors.ConfigError, match="for depth; model has video"):
        settings.Settings("tum").apply({"video": SPECS["video"]}, "model")

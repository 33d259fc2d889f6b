import pytest

from lb_jax.core import errors
from lb_jax.media import settings, specs

SPECS = {"depth": specs.DepthSpec(), "thermal": specs.ThermalSpec(), "video": specs.VideoSpec()}


def test_settings_become_fields_of_the_specs():
    given = settings.Settings("sunrgbd", (273.15, 323.15), "kelvin")
    found = given.apply(SPECS, "model")
    assert found["depth"] == specs.DepthSpec(unit_m=0.001, rotated_bits=3)
    assert found["thermal"] == specs.ThermalSpec(range_k=(273.15, 323.15), unit="kelvin")
    assert found["video"] is SPECS["video"]


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
    ],
)
def test_wrong_settings_are_refused(given, reason):
    with pytest.raises(errors.ConfigError, match=reason):
        settings.Settings(**given)


def test_a_setting_of_a_modality_that_is_not_there_is_refused():
    with pytest.raises(errors.ConfigError, match="for depth; model has video"):
        settings.Settings("tum").apply({"video": SPECS["video"]}, "model")

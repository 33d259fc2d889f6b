import pathlib
import re

import pytest

from lb_jax.core import errors
from lb_jax.media import specs
from lb_jax.media.sensors import depth_units


@pytest.mark.parametrize(
    ("given", "unit_m"),
    [
        ("tum", 1 / 5000),
        ("KITTI", 1 / 256),
        ("7-Scenes", 0.001),
        ("scannet++", 0.001),
        ("realsense_l515", 0.00025),
        ("1/5000", 0.0002),
        ("0.0002", 0.0002),
        (0.00025, 0.00025),
        ("1e-4", 1e-4),
        ("0.1 mm", 1e-4),
        (1, 1.0),
    ],
)
def test_units_are_read(given, unit_m):
    assert depth_units.parse(given).unit_m == pytest.approx(unit_m)


@pytest.mark.parametrize(
    "given", ["", "0", "-1", "nan", "inf", "1/0", "1.2.3", "mm/2", True, "0.001 inch", "tun"]
)
def test_what_is_no_unit_is_refused(given):
    with pytest.raises(errors.ConfigError, match=r"depth unit is .*expected metres per stored"):
        depth_units.parse(given)


def test_the_nearest_name_is_told():
    with pytest.raises(errors.ConfigError, match="Did you mean 'matterport'"):
        depth_units.parse("Mattreport")


def test_every_unit_makes_a_spec():
    for name, unit in depth_units.UNITS.items():
        assert specs.DepthSpec(**unit.fields).unit_m == depth_units.parse(name).unit_m


def test_the_docs_show_the_same_table():
    docs = pathlib.Path(__file__).parents[3] / "docs" / "media.md"
    _, _, page = docs.read_text(encoding="utf-8").partition("### Units of data sets and cameras\n")
    rows = re.findall(r"^\| `(\w[^`]*)` \| (.*) \|$", page.partition("\n###")[0], re.MULTILINE)
    assert [name for name, _ in rows] == list(depth_units.UNITS)
    for name, row in rows:
        unit, (title, size, missing, along, source) = depth_units.UNITS[name], row.split(" | ")
        assert title == unit.title
        assert depth_units.parse(size.replace("µ", "u")).unit_m == pytest.approx(unit.unit_m)
        assert missing == ", ".join(map(str, (0, *unit.missing)))
        assert unit.along == f"along the {along}"
        assert source.startswith(unit.source)
        assert unit.remark in source

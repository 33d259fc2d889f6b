from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.corpora import rows
from lb_jax.corpora.manifest import Manifest
from lb_jax.media.sensors.depth_units import Measured


def test_a_corpus_in_a_unit_keeps_units_of_its_rows(tmp_path):
    (tmp_path / "list.csv").write_text(
        "depth,image,depth_unit\na.png,a.jpg,\nb.png,,tum\n,c.jpg,\n"
    )
    found = rows.InUnit(Manifest(tmp_path / "list.csv"), "kitti")
    assert found[0].media["depth"] == (Measured(tmp_path / "a.png", "kitti"),)
    assert found[1].media["depth"] == (Measured(tmp_path / "b.png", "tum"),)
    assert "depth" not in found[2].media
    assert found.where.endswith("list.csv (depth unit kitti)")
    assert len(found) == 3
    assert list(found.having("depth")) == [0, 1]


def test_a_corpus_in_a_unit_that_is_none_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("depth\na.png\n")
    with pytest.raises(errors.ConfigError, match="Did you mean 'tum'"):
        rows.InUnit(Manifest(tmp_path / "list.csv"), "tumm")


def test_depth_in_a_unit_is_called_by_its_path():
    assert rows.name_of(Measured(Path("a.png"), "tum"), "row") == "a.png"

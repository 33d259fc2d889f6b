"""`lb-jax demo imagebind` with models as drawn in place of those that it trains."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from lb_jax.cli import demo, demo_imagebind
from lb_jax.core import paths
from lb_jax.training import families

ITEMS = 40


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run, what was asked of training by row, and the metrics."""
    out, asked = tmp_path_factory.mktemp("imagebind") / "out", {}

    def train(arguments):
        cfg, _ = demo_imagebind.train.parse(arguments)
        asked[arguments[0].rpartition(":")[2]] = cfg
        family = families.of(cfg)
        shape, preprocess = family.build(cfg)
        model = family.make_model(cfg, shape)
        params = jax.device_get(family.drawn_params(cfg, model))
        folder = Path(arguments[1].removeprefix("--workdir=")) / "checkpoint"
        readers = family.loaders(cfg, preprocess)
        family.export(folder, cfg, shape, preprocess, paths.overlay(params), readers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_imagebind.train, "main", train)
        return out, asked, demo_imagebind.run(out, seed=77, items=ITEMS)


def test_vision_is_learnt_first_and_bound_to_in_two_ways(ran):
    out, asked, _ = ran
    assert list(asked) == ["vision", "image", "text"]
    assert asked["vision"].init_from == "demo"
    for name in ("image", "text"):
        assert asked[name].init_from == str(out / "vision")
        assert asked[name].seed == 77
    assert asked["image"].modalities["imu"].anchor == "video"
    assert asked["text"].modalities["imu"].anchor == "text"


def test_every_target_is_measured(ran):
    out, _, metrics = ran
    stored = json.loads((out / "metrics.json").read_text())
    for name, targets in demo_imagebind.BINDINGS.items():
        for target in targets:
            found = metrics[name]["emergent" if "->" in target else "zero_shot"][target]
            value = found["times_chance" if "->" in target else "top1"]
            assert np.isfinite(value)
        page = (out / f"report-{name}" / "report.html").read_text()
        assert "imu → video" in page
        assert "imu/<wbr>motion" in page
    assert stored["text"]["zero_shot"].keys() == metrics["text"]["zero_shot"].keys()


def test_the_command_is_one_of_the_demos():
    assert demo.PARTS["imagebind"] is demo_imagebind.main

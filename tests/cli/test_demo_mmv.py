"""`lb-jax demo mmv` with models at random weights in place of those that it trains."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from lb_jax.cli import demo, demo_measures, demo_mmv
from lb_jax.convert import mmv_files
from lb_jax.core import paths
from lb_jax.inference import mmv
from lb_jax.media import specs
from lb_jax.models.mmv import Mmv
from lb_jax.text.words import Words
from lb_jax.training import families

ITEMS = 60


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run, what was asked of training, and the metrics."""
    out, asked = tmp_path_factory.mktemp("mmv") / "out", []

    def train(arguments):
        asked.append(arguments)
        cfg, _ = demo_mmv.train.parse(arguments)
        family = families.of(cfg)
        shape, preprocess = family.build(cfg)
        stated = {name: specs.to_dict(one) for name, one in preprocess.items()}
        known = Words.read(out / "films") if shape.text else None
        params = Mmv(shape).init(jax.random.key(0))
        workdir = Path(arguments[1].removeprefix("--workdir="))
        mmv_files.save(workdir / "checkpoint", shape, params, stated, known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_mmv.train, "main", train)
        patch.setattr(demo_mmv, "FIT", ("--steps=2", "--batch-size=4"))
        patch.setattr(demo_measures, "PASSES", 2)
        return out, asked, demo_mmv.run(out, seed=77, items=ITEMS)


def test_one_run_learns_without_words_and_one_with_them(ran):
    out, asked, _ = ran
    films, narrated = (demo_mmv.train.parse(one)[0] for one in asked)
    for cfg in (films, narrated):
        assert cfg.data.sources["main"].path == str(out / "films" / "train")
        assert cfg.seed == 77
    assert films.mmv.weights == {"audio": 1.0}
    assert narrated.mmv.weights == {"audio": 1.0, "text": 1.0}


def test_every_target_is_measured(ran):
    out, _, metrics = ran
    lines = demo_mmv.headlines(metrics, ITEMS // 5)
    assert [line.name for line in lines] == [*demo_mmv.TARGETS]
    assert all(np.isfinite(line.value) for line in lines)
    assert json.loads((out / "metrics.json").read_text())["probes"] == metrics["probes"]
    assert set(metrics["stills"]) == {"video", "image", "naive", "one frame"}


def test_the_checkpoint_sees_pictures_too(ran):
    assert mmv.load(ran[0] / "checkpoint").modalities == ("audio", "image", "video")


def test_the_page_shows_measures_and_films(ran):
    page = (ran[0] / "report.html").read_text()
    for said in ("lb-jax demo mmv", "video/<wbr>motion", "one frame", "the sound of film"):
        assert said in page


def test_norms_of_untrained_networks_have_seen_data(ran):
    found = paths.flatten(mmv_files.open_mmv(ran[0] / "random").params())
    drawn = paths.flatten(mmv_files.open_mmv(ran[0] / "run" / "checkpoint").params())
    moved = {path for path in drawn if "mean" in path and not np.allclose(found[path], drawn[path])}
    assert moved == {path for path in drawn if "mean" in path}


def test_films_are_made_ready_once(ran, monkeypatch):
    model = mmv.load(ran[0] / "run")
    films, ready, made = demo_measures.read(ran[0] / "films")["test"][:2], demo_measures.Ready(), []
    whole = model.preprocess
    monkeypatch.setattr(model, "preprocess", lambda *one: made.append(one) or whole(*one))
    for _ in range(2):
        for name in ("video", "audio"):
            np.testing.assert_array_equal(ready(model, name, films), whole(name, films.paths))
    assert len(made) == 2


def test_a_classifier_tells_what_features_hold():
    rng = np.random.default_rng(0)
    kinds = np.array(["a", "b", "c"])[np.arange(60) % 3]
    told = np.eye(3)[np.arange(60) % 3] + 0.05 * rng.standard_normal((60, 3))
    noise = rng.standard_normal((60, 3))
    found = demo_measures.accuracies(
        told[:30], kinds[:30], {"x": told[30:], "y": noise[30:]}, kinds[30:]
    )
    assert found["x"] == 1.0
    assert found["y"] < 0.7
    assert demo_measures.recall(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5


def test_it_is_a_part_of_the_demo():
    assert demo.PARTS["mmv"] is demo_mmv.main

"""Figures of the probe set, by hand and in a run."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from lb_jax.core import errors, paths
from lb_jax.training import binding, loop, program, recipe, sharding
from lb_jax.training.config import ProbeConfig
from lb_jax.training.probe import Probe, choose, figures
from tests.training.test_loop import figures as rows_of


def test_figures_by_hand():
    items = np.eye(4, dtype=np.float32)
    assert figures(items, items)["text_to_R@1"] == 1
    texts = items[[1, 0, 2, 3]]  # the first two are taken for each other
    found = figures(items, texts)
    assert (found["text_to_R@1"], found["to_text_R@1"]) == (0.5, 0.5)
    assert found["modality_gap"] == 0
    assert figures(items, np.roll(items[:1], 1, -1).repeat(4, 0))["modality_gap"] > 0.8


@pytest.fixture
def parts(small_run, corpus_dir, tmp_path):
    """A probe set of 10 items that lies apart, and what embeds it."""
    shutil.copytree(corpus_dir, tmp_path / "corpus")
    path = tmp_path / "corpus" / "train.json"
    cfg = dataclasses.replace(small_run, probe=ProbeConfig(path=str(path), size=10))
    params = recipe.initial_params(cfg, binding.make_model(cfg, recipe.build(cfg)[0]))
    trainable, frozen = paths.partition(params, cfg.trainable)
    mesh = sharding.make_mesh({"data": 2, "fsdp": 1, "tensor": 1}, jax.devices()[:2])
    return cfg, trainable, frozen, program.make_program(cfg, mesh, trainable, frozen)


def test_the_same_parameters_give_the_same_figures_and_a_stop_cuts_them_short(parts):
    cfg, trainable, frozen, made = parts
    probe = Probe(cfg, made, choose(cfg))
    texts = probe.texts(trainable, frozen)
    assert texts["depth"].shape == (10, 64)
    found = probe(trainable, frozen, texts, lambda: False)
    assert found == Probe(cfg, made, choose(cfg))(trainable, frozen, texts, lambda: False)
    assert found.keys() == {
        f"probe/depth/{name}"
        for name in ("text_to_R@1", "to_text_R@1", "modality_gap", "effective_rank")
    }
    assert probe(trainable, frozen, texts, lambda: True) is None


def test_an_item_that_cannot_be_used_is_named(parts, tmp_path):
    cfg, trainable, frozen, made = parts
    for path in (tmp_path / "corpus").rglob("*_depth*/*.png"):
        path.write_bytes(b"no picture")
    probe = Probe(cfg, made, choose(cfg))
    texts = probe.texts(trainable, frozen)
    with pytest.raises(errors.DataError, match=r"\.png: .*; the probe set needs it"):
        probe(trainable, frozen, texts, lambda: False)


def test_a_manifest_of_the_only_modality_need_not_name_it(parts, tmp_path):
    cfg, *_ = parts
    (tmp_path / "some.csv").write_text("path,caption\na.png,a thing\n")
    cfg = dataclasses.replace(cfg, probe=ProbeConfig(path=str(tmp_path / "some.csv")))
    text, file = choose(cfg)["depth"][0]
    assert (text, file) == ("a thing", tmp_path / "a.png")


def test_a_corpus_without_the_modality_is_refused(parts, tmp_path):
    cfg, *_ = parts
    (tmp_path / "some.csv").write_text("path,caption\na.wav,a sound\n")
    columns = {"audio": "path", "caption": "caption"}
    one = ProbeConfig(path=str(tmp_path / "some.csv"), columns=columns, modality="audio")
    with pytest.raises(errors.ConfigError, match=r"config\.probe\.path: .* has no depth"):
        choose(dataclasses.replace(cfg, probe=one))


def test_probe_rows_and_profile_of_a_run(small_run, corpus_dir, tmp_path):
    probe = ProbeConfig(path=str(corpus_dir / "test.json"), size=8, every=4)
    cfg = dataclasses.replace(small_run, steps=11, log_every=100, save_every=100, probe=probe)
    loop.run(cfg, tmp_path / "run", profile=True)
    rows = rows_of(tmp_path / "run")
    probed = [row["step"] for row in rows if "probe/depth/modality_gap" in row]
    assert probed == [0, 4, 8, 11]
    assert [row["step"] for row in rows] == [0, 4, 8, 10, 11]
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))

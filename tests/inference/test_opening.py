"""`lb_jax.load`: who needs a model that writes gets one, or one line."""

import json

import numpy as np
import pytest

from lb_jax.convert import torch_writer
from lb_jax.core import checkpoint, errors
from lb_jax.inference import api, encoder, mmv, opening, valor
from tests.convert import small
from tests.inference import mmv_models, tiny, valor_models

SAVED = {api: tiny.save, mmv: mmv_models.save, valor: valor_models.save}


@pytest.mark.parametrize("module", SAVED, ids=lambda one: one.__name__.rpartition(".")[2])
def test_each_kind_is_opened_by_its_folder_or_work_directory(tmp_path, module):
    folder = SAVED[module](tmp_path / "run" / "checkpoint")
    (tmp_path / "run" / "config.json").write_text(json.dumps(dict.fromkeys(checkpoint.RUN)))
    found = [load(one) for load in (module.load, opening.load) for one in (folder.parent, folder)]
    assert len({one.digest for one in found}) == 1
    assert [one.source for one in found] == 2 * [str(folder.parent), str(folder)]
    assert {one.folder for one in found} == {folder}


def test_a_model_that_writes_is_opened_with_its_options(tmp_path):
    valor_models.save(tmp_path / "run" / "checkpoint")
    assert opening.load_writer(tmp_path / "run", batch_size=2).batch_size == 2


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("captioner", {"config": {}}, "captioner: a checkpoint of this package has its own config"),
        ("demo", {"config": {}}, "demo: a checkpoint of this package has its own config"),
        ("demo", {"space": "va"}, "demo is an encoder with one space, which has no option space"),
    ],
)
def test_a_model_that_has_a_name_is_told_by_it(name, options, told):
    with pytest.raises(errors.ConfigError, match=told):
        opening.load(name, **options)
    assert opening.load(name).source == name


@pytest.mark.parametrize("module", [mmv, valor], ids=["mmv", "valor"])
def test_a_run_without_a_checkpoint_is_told(tmp_path, module):
    with pytest.raises(errors.CheckpointError, match="a run that has written no checkpoint yet"):
        module.load(begun(tmp_path / "run"))


def bare(folder):
    folder.mkdir()
    torch_writer.write(folder / "weights.pt", [("vision.a", np.zeros(3, np.float32))], {})
    return folder


def begun(folder):
    """The work directory of a run that has no checkpoint yet."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text('{"steps": 9, "trainable": {}, "valor": {}}')
    return folder


REFUSED = {
    "our encoder": (lambda folder: tiny.save(folder), "an encoder, which gives vectors"),
    "CLIP": (small.clip_folder, "an encoder, which gives vectors"),
    "the demo's model": (lambda folder: "demo", "demo: an encoder, which gives vectors"),
    "an MMV model": (mmv_models.save, "an encoder, which gives vectors"),
    "weights without options": (bare, "no log/hps.json, the options of the run"),
    "a run without a checkpoint": (begun, "work directory of a run that has written no checkpoint"),
    "nothing": (lambda folder: folder, "no such folder|neither|no such file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_write_is_one_line(tmp_path, what):
    make, message = REFUSED[what]
    source = make(tmp_path / "model")
    with pytest.raises(errors.LbJaxError, match=message) as caught:
        opening.load_writer(source)
    assert "\n" not in str(caught.value)


def test_what_a_model_does_not_do_is_one_line(tmp_path):
    encoders = {
        "demo": opening.load("demo"),
        "mmv": opening.load(mmv_models.save(tmp_path / "mmv")),
    }
    writer = opening.load(valor_models.save(tmp_path / "writer"))
    for source, model in encoders.items():
        with pytest.raises(errors.ConfigError, match="gives vectors and does not write") as caught:
            model.caption("video", ["a.mp4"])
        assert source in str(caught.value).partition(" is ")[0]
        assert 'no `caption`; open a VALOR model, such as lb_jax.load("captioner")' in str(
            caught.value
        )
    with pytest.raises(errors.ConfigError, match=r"writer is a VALOR model, .* no `encode`; open "):
        writer.encode("video", np.zeros((1, 2)))
    for model in (*encoders.values(), writer):
        there = [hasattr(model, name) for name in ("caption", "encode")]
        assert sorted(there) == [False, True]
        with pytest.raises(AttributeError, match="has no attribute 'captoin'"):
            model.captoin  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "others"), [(encoder.Encoder, valor.ValorModel), (valor.ValorModel, encoder.Encoder)]
)
def test_what_is_lacking_is_what_the_other_kind_has(kind, others):
    for name in kind.lack.names:
        assert name not in dir(kind)
        assert name in dir(others)


def test_who_needs_vectors_is_given_no_model_that_writes(tmp_path):
    valor_models.save(tmp_path / "run" / "checkpoint")
    with pytest.raises(errors.ConfigError, match="a VALOR model, which is not made of towers"):
        opening.load_encoder(tmp_path / "run")
    with pytest.raises(errors.ConfigError, match="has no option space; it has dtype"):
        opening.load(tmp_path / "run", space="va")

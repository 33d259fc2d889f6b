"""`lb-jax doctor`: a healthy run, and what it says of each problem."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from lb_jax.core import checkpoint
from lb_jax.inference import api, golden
from lb_jax.search import doctor


@pytest.fixture
def copied(model_dir, tmp_path):
    return shutil.copytree(model_dir, tmp_path / "checkpoint")


@pytest.fixture
def looked_after(call, copied):
    """A checkpoint with golden vectors."""
    result = call("doctor --model={tmp}/checkpoint --write-golden")
    assert result.out == f"{copied / checkpoint.GOLDEN}\n"
    return copied


def failed(check, **case):
    return {row[0]: row[2:] for row in check(doctor.Case(**case)) if row[1] != doctor.OK}


def test_healthy_run_is_one_json_document(call, looked_after):
    result = call("doctor --model={tmp}/checkpoint --json")
    assert (result.status, result.err) == (0, "")
    told = json.loads(result.out)
    rows = {(row["check"], row["name"]): row for row in told["checks"]}
    assert {check for check, _ in rows} == set(doctor.CHECKS) - {"store"}
    assert all(row["status"] != "fail" for row in rows.values())
    for name in ("audio", "depth", "image", "text", "thermal", "video"):
        for what in ("preprocessing", "tower", "vectors"):
            assert rows["model", f"{name} {what}"]["status"] == "ok"
    for codec in ("h264", "hevc", "vp9", "av1", "aac", "mp3", "opus", "flac", "png 16 bit", "webp"):
        assert rows["decoders", codec]["status"] == "ok"


def change(folder, edit):
    path = folder / checkpoint.GOLDEN
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))


def test_difference_names_modality_and_level(call, looked_after):
    def edit(stored):
        stored["modalities"]["audio"]["preprocessing"][0] += 0.01
        stored["modalities"]["depth"]["vector"] = stored["modalities"]["image"]["vector"]
        del stored["modalities"]["video"]

    change(looked_after, edit)
    found = failed(doctor.model, model=looked_after)
    assert set(found) == {"audio preprocessing", "depth tower", "video"}
    assert "differs by 1.0e-02" in found["audio preprocessing"][0]
    assert "copy the checkpoint again" in found["depth tower"][1]


def test_one_changed_weight_is_a_failure(call, looked_after):
    params = checkpoint.load_params(looked_after)
    params["towers"]["thermal"]["proj"]["kernel"][0, 0] += 1
    kept = (looked_after / checkpoint.GOLDEN).read_bytes()
    checkpoint.save_model(looked_after, params, checkpoint.load_config(looked_after))
    (looked_after / checkpoint.GOLDEN).write_bytes(kept)
    result = [row for row in doctor.model(doctor.Case(looked_after)) if row[1] == doctor.FAIL]
    assert [row[0] for row in result] == ["golden vectors", "thermal tower"]


def test_failure_ends_with_status_2(call, looked_after, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"model": doctor.model})
    (looked_after / checkpoint.GOLDEN).write_text('{"format": "lb_jax-golden-1"}')
    result = call("doctor --model={tmp}/checkpoint")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert result.out.startswith("fail model ")
    assert "write them again with `lb-jax doctor --write-golden`" in result.out


def test_store_is_checked_with_its_own_model(model_dir, tmp_path):
    store_lib = pytest.importorskip("lb_jax.search.store")
    from lb_jax.search import maker as maker_lib
    from lb_jax.search import rows

    pytest.importorskip("lancedb")
    model = api.load(model_dir, dtype="float32", frames=3)
    uri = str(tmp_path / "store")
    maker = maker_lib.Maker.of(model, 10, 10)
    store = store_lib.Store.create(uri, maker)
    assert failed(doctor.store, store=uri) == {}
    vector = model.embed("text", ["a cat"])[0]
    made = "0" * 64, 1, 2, maker.digest, maker.preprocessing, vector
    store.add([rows.Row("/gone.png", "image", None, None, *made)])
    command = f"`lb-jax index build FOLDER -o {uri} --model {model_dir} --frames 3 --prune`"
    assert command in failed(doctor.store, store=uri)["/gone.png"][0]
    other = dataclasses.replace(maker, digest="f" * 64)
    store_lib.Store.upgrade(uri, other).make_current()
    found, do = failed(doctor.store, store=uri)["model"]
    assert "which is another model now" in found
    assert do == f"lb-jax index upgrade {uri} --model {model_dir} --frames 3"
    moved = dataclasses.replace(maker, digest="e" * 64, source="no/such/model")
    store_lib.Store.upgrade(uri, moved).make_current()
    assert f"{uri} --model MODEL" in failed(doctor.store, store=uri)["model"][1]


def test_model_that_is_not_there_is_told(call):
    assert "no such" in failed(doctor.model, model="nosuch/folder/x")["nosuch/folder/x"][0]


def test_checkpoint_without_golden_vectors_is_told_how_to_write_them(call, copied):
    assert "--write-golden" in failed(doctor.model, model=copied)["golden vectors"][1]


def test_missing_extra_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    rows = {row[0]: row for row in doctor.extras(doctor.Case())}
    assert rows["search"][1] == doctor.WARN
    assert "pip install 'lb_jax[search]'" in rows["search"][3]
    assert rows["wandb"][1] == doctor.OK


@pytest.mark.parametrize(("file", "extra"), [("nvidia0", "gpu"), ("accel0", "tpu")])
def test_accelerator_that_jax_does_not_see_is_told(tmp_path, monkeypatch, file, extra):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / file).touch()
    monkeypatch.delenv("JAX_PLATFORMS")
    [found] = failed(doctor.devices, root=tmp_path).values()
    assert "JAX sees only cpu" in found[0]
    assert found[1] == f"pip install 'lb_jax[{extra}]'"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    [found] = failed(doctor.devices, root=tmp_path).values()
    assert found[1].startswith("unset JAX_PLATFORMS, which is 'cpu'")


def test_cache_that_cannot_be_written_is_told(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert "set XDG_CACHE_HOME" in failed(doctor.disk)["cache"][1]


def test_other_versions_than_the_tested_ones_are_told(monkeypatch):
    assert {"jax", "numpy"} <= doctor._constraints().keys()
    monkeypatch.setattr(doctor, "_constraints", lambda: {"numpy": "1.0"})
    assert "tested with 1.0" in failed(doctor.versions)["numpy"][0]


def test_codec_that_decodes_wrong_is_told(monkeypatch):
    whole = doctor.codecs.preprocess.decode
    monkeypatch.setattr(
        doctor.codecs.preprocess, "decode", lambda name, *rest: whole(name, *rest)[..., ::-1]
    )
    assert set(failed(doctor.decoding)) == {"png 16 bit"}


def test_golden_inputs_are_formulas(model_dir):
    model = api.load(model_dir)
    assert golden.media("image").sum() == golden.media("video")[0].sum()
    for name in model.modalities:
        given = golden.array(model, name)
        assert np.abs(given).max() <= 1.01
        np.testing.assert_array_equal(given, golden.array(model, name))


def test_golden_vectors_of_other_weights_are_refused(tmp_path):
    from tests.convert import small

    with pytest.raises(doctor.errors.ConfigError, match="lb-jax convert SRC DST"):
        doctor.write_golden(api.load(small.clip_folder(tmp_path)))

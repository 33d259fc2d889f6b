"""Commands with an MMV model: embed, search, evaluate; the space is the store's, and is told."""

import json
import shutil

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.inference import opening
from lb_jax.serve import engine, run
from tests.evaluation import divided_miniatures
from tests.inference import mmv_models
from tests.media import media_files


@pytest.fixture(scope="module")
def mmv(tmp_path_factory):
    return mmv_models.save(tmp_path_factory.mktemp("mmv") / "checkpoint")


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(media_files.clip())
    (tmp_path / "films" / "b.wav").write_bytes(media_files.sound(media_files.noise(9000)))
    return tmp_path / "films"


def test_a_store_holds_vectors_of_one_space(call, mmv, films, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built = f"index build films --workers 1 --model {mmv}"
    result = call(built)
    assert result.status == 0, result.err
    assert "2 files, 2 embedded into" in result.out
    assert ", space vat" in call("index info").out
    assert json.loads(call("index info --json").out)["models"][0]["space"] == "vat"
    found = call("index search 'a cat sleeps' --json --exact")
    assert found.status == 0, found.err
    assert {one["modality"] for one in json.loads(found.out)["results"]} == {"audio", "video"}
    result = call(f"{built} --space va")
    assert result.status == 2
    assert "made with space vat, not va" in result.err
    assert "--space vat" in result.err
    made = run.maker_of("media.index")
    with pytest.raises(errors.ConfigError, match="vectors of the space vat, not va"):
        run.store_settings(made, run.Options(store="media.index", space="va"))
    result = call(f"index upgrade --model {mmv} --space va")
    assert result.status == 0, result.err
    result = call("index search 'a cat'")
    assert result.status == 2
    assert "text has no vector in the space 'va'" in result.err
    assert call("index search --like films/a.mp4").status == 0


def test_vectors_in_a_file_are_of_the_space_that_is_asked_for(call, mmv, films, tmp_path):
    line = f"embed {films}/a.mp4 --modality video --model {mmv} -o {{tmp}}/x.npz"
    assert call(line).status == 0
    with np.load(tmp_path / "x.npz") as file:
        assert file["embeddings"].shape == (1, 6)
    texts = f"embed 'a cat' --modality text --model {mmv}"
    assert call(f"{texts} -o {{tmp}}/t.npz").status == 0
    result = call(f"{texts} --space va -o {{tmp}}/u.npz")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert not (tmp_path / "u.npz").exists()


def test_a_text_without_a_known_word_is_told_by_its_place_before_any_is_embedded(
    call, mmv, tmp_path
):
    line = f"embed 'a cat' 'a dog' qwertz --modality text --model {mmv} --batch-size 1"
    result = call(f"{line} -o {{tmp}}/x.npz")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert "text 2: has no word that the model knows (found 'qwertz', and it knows" in result.err
    assert not (tmp_path / "x.npz").exists()


def test_a_model_with_one_space_takes_no_other(call, films):
    result = call(f"embed {films} --model {{model}} --space va -o {{tmp}}/store")
    assert result.status == 2
    assert "is an encoder with one space, which has no option space" in result.err


def test_linear_classifiers_learn_on_its_features(call, mmv, tmp_path):
    divided_miniatures.write("esc50", tmp_path)
    line = f"evaluate --suite linear --root {{tmp}} --model {mmv} --cache {{tmp}}/cache"
    result = call(f"{line} --space va --out {{tmp}}/out --only esc50")
    assert result.status == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["benchmarks"]["esc50"]["tasks"]["audio->class"]["metrics"]["top1"] > 0.5


def test_the_checkpoint_of_a_work_directory_is_converted(call, mmv, tmp_path):
    shutil.copytree(mmv, tmp_path / "run" / "checkpoint")
    result = call("convert {tmp}/run {tmp}/out --to orbax --verify")
    assert result.status == 0, result.err
    assert opening.load(tmp_path / "out").digest == opening.load(mmv).digest
    inside = call("convert {tmp}/run {tmp}/run --to safetensors")
    assert inside.status == 2
    assert "the weights are read from it" in inside.err


def test_what_is_served_is_of_the_space(mmv):
    fine = engine.describe(opening.load_encoder(mmv, space="va", batch_size=1), "mmv")
    assert (fine.inputs, fine.width, fine.reader) == (("audio", "video"), 10, None)
    coarse = engine.describe(opening.load_encoder(mmv, batch_size=1), "mmv")
    assert coarse.inputs == ("audio", "video", "text")
    assert coarse.reader.split(["a cat sleeps"]).tokens.shape == (1, 3)

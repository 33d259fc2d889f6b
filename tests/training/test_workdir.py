"""The folder of a run: another's is refused, changed data are noticed, a removed one is told of."""

import csv
import dataclasses
import json
import shutil

import pytest

from lb_jax.core import errors
from lb_jax.corpora.sources import open_source
from lb_jax.feed.pipeline import Loader
from lb_jax.training import loop, workdir

CORPORA = {"depth": [{"rows": 3, "sha256": "a"}]}


def test_workdir_of_another_config_is_refused(tiny_run, tmp_path):
    workdir.claim(tiny_run, CORPORA, tmp_path / "run")
    other = dataclasses.replace(
        tiny_run, batch_size=16, optim=dataclasses.replace(tiny_run.optim, lr=1.0)
    )
    with pytest.raises(errors.ConfigError, match=r"other settings: batch_size, optim\.lr"):
        workdir.claim(other, CORPORA, tmp_path / "run")
    workdir.claim(
        dataclasses.replace(tiny_run, log_every=7), CORPORA, tmp_path / "run"
    )  # alters no result


def test_a_folder_made_before_there_was_a_setting_goes_on(tiny_run, tmp_path):
    workdir.claim(tiny_run, CORPORA, tmp_path)
    file = tmp_path / workdir.CONFIG
    stored = json.loads(file.read_text())
    del stored["data"]["sources"]["main"]["narrations"]
    file.write_text(json.dumps(stored))
    workdir.claim(tiny_run, CORPORA, tmp_path)
    source = dataclasses.replace(tiny_run.data.sources["main"], narrations="asr.json")
    data = dataclasses.replace(tiny_run.data, sources={"main": source})
    other = dataclasses.replace(tiny_run, data=data)
    with pytest.raises(errors.ConfigError, match=r"settings: data\.sources\.main\.narrations"):
        workdir.check(other, tmp_path)


def test_foreign_folder_is_refused(tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(errors.ConfigError, match="holds no run"):
        workdir.claim(tiny_run, CORPORA, tmp_path)


def test_a_folder_claimed_before_corpora_were_noted_takes_them(tiny_run, tmp_path):
    workdir.claim(tiny_run, CORPORA, tmp_path)
    (tmp_path / workdir.CORPORA).unlink()
    workdir.check_corpora({}, tmp_path)
    workdir.claim(tiny_run, CORPORA, tmp_path)
    assert json.loads((tmp_path / workdir.CORPORA).read_text()) == CORPORA


def identity(rows, folder):
    path = folder / "rows.csv"
    with path.open("w") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    source = open_source(path, modality="image")
    return Loader([(source, 1.0)], "image", None, "caption", len, seed=0).identity()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: rows[::-1],
        lambda rows: [("0.png", "another"), *rows[1:]],
        lambda rows: [("x.png", "a 0"), *rows[1:]],
    ],
)
def test_an_identity_tells_a_changed_corpus(change, tmp_path):
    rows = [(f"{i}.png", f"a {i}") for i in range(300)]
    before = identity(rows, tmp_path)
    assert identity(rows, tmp_path) == before
    workdir.checkpoint.write_json(tmp_path / workdir.CORPORA, {"image": before})
    workdir.check_corpora({"image": before}, tmp_path)
    with pytest.raises(
        errors.ConfigError, match=r"other data: image \(300 rows then, \d+ rows now"
    ):
        workdir.check_corpora({"image": identity(change(rows), tmp_path)}, tmp_path)


def test_a_second_run_is_kept_out_and_the_first_named(tmp_path):
    with (
        workdir.alone(tmp_path),
        pytest.raises(errors.ConfigError, match=r"in use by another run \(process \d+ on "),
        workdir.alone(tmp_path),
    ):
        pass
    with workdir.alone(tmp_path):
        pass


@pytest.mark.parametrize("text", ["[]", '{"depth": 1}', '{"depth": [1]}', '{"depth": [{}]}'])
def test_a_record_of_corpora_that_is_none_is_refused(text, tmp_path):
    (tmp_path / workdir.CORPORA).write_text(text)
    with pytest.raises(errors.CheckpointError, match="tells nothing of corpora"):
        workdir.check_corpora(CORPORA, tmp_path)


def test_a_run_whose_folder_was_removed_says_so(tiny_run, tmp_path, monkeypatch):
    place, kept = tmp_path / "run", loop.StateStore.save

    def removed_after_the_first(store, *arguments):
        kept(store, *arguments)
        store._manager.wait_until_finished()
        shutil.rmtree(place)

    monkeypatch.setattr(loop.StateStore, "save", removed_after_the_first)
    cfg = dataclasses.replace(tiny_run, save_every=1)
    with pytest.raises(errors.CheckpointError, match="was removed or emptied"):
        loop.run(cfg, place)

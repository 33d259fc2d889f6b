"""The sheets of a corpus, and what is told of a wrong one before anything runs."""

import dataclasses
import importlib
import json

import pytest

from lb_jax.builder import items, sheet, stage
from lb_jax.builder.stages import STAGES
from lb_jax.core import errors
from lb_jax.training import sheets
from tests.builder import raw
from tests.goldens import ROOT

SHEETS = sorted(path.stem for path in (ROOT / "configs").glob("corpus_*.py"))


@pytest.mark.parametrize("name", SHEETS)
def test_sheet_is_one_screen_that_starts_with_its_command(name):
    text = (ROOT / "configs" / f"{name}.py").read_text("utf-8")
    doc = importlib.import_module(f"lb_jax.configs.{name}").__doc__
    assert f"lb-jax corpus run --config=configs/{name}.py" in doc
    assert text.count("\n") <= 64
    cfg = sheet.from_config_dict(sheets.load_sheet(name))
    assert sheet.from_config_dict(sheet.as_config_dict(cfg)) == cfg


def test_every_stage_has_settings_in_the_sheet():
    fields = {one.name: one.type for one in dataclasses.fields(sheet.CorpusConfig)}
    assert {name for name in fields if name in STAGES} == set(STAGES)
    for name, one in STAGES.items():
        assert fields[name] is one.settings


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        (("durations",), "there is no stage 'durations'. Did you mean 'duration'?"),
        (("black", "still", "black"), "config.stages names 'black' twice"),
        ((), "config.stages is empty"),
    ],
)
def test_wrong_stages_are_told(stages, told):
    with pytest.raises(errors.ConfigError) as caught:
        sheet.CorpusConfig(stages=stages)
    assert told in str(caught.value)


def test_a_wrong_threshold_is_told_with_the_nearest():
    values = sheet.as_config_dict(sheet.CorpusConfig(stages=("duration",))).to_dict()
    values["duration"]["longest"] = 3
    with pytest.raises(errors.ConfigError, match=r"config.duration.longest.*mean 'longest_s'"):
        sheet.from_config_dict(values)


def test_a_missing_package_is_one_line_before_the_run(monkeypatch):
    missing = stage.Package("no_such_module", "no-such-package")
    without = dataclasses.replace(STAGES["still"], packages=(missing,))
    monkeypatch.setitem(STAGES, "still", without)
    with pytest.raises(errors.ConfigError) as caught:
        sheet.plan(sheet.CorpusConfig(stages=("duration", "still")))
    assert str(caught.value) == (
        "stage 'still' needs no-such-package, which is not here; `pip install 'lb_jax[corpus]'` "
        "brings it, or leave the stage out of config.stages."
    )


def test_a_missing_library_of_the_system_is_told():
    there = stage.Package("json", "json")
    assert there.is_there
    assert not dataclasses.replace(there, library="no_such_library").is_there


def write(tmp_path, **entries):
    (tmp_path / "raw.json").write_text(json.dumps(entries))
    return sheet.Source(path=str(tmp_path / "raw.json"))


def test_items_have_ids_by_source_and_key(tmp_path):
    source = write(
        tmp_path,
        b={"title": "t", "file": "b.mp4", "licence": "CC0-1.0", "source": "host"},
        a={"title": "u", "file": "a.mp4"},
    )
    found = items.read(source)
    assert found.rows["key"].to_pylist() == ["b", "a"]
    assert found.rows["id"].to_pylist() == [
        items.item_id("host", "b"),
        items.item_id("raw.json", "a"),
    ]
    assert len(set(found.rows["id"].to_pylist())) == 2
    assert found.path("a.mp4") == str(tmp_path / "a.mp4")


def test_a_table_is_a_source(tmp_path):
    (tmp_path / "raw.csv").write_text("id,title,file,licence\nx,a cat,x.mp4,CC0-1.0\n,b,y.mp4,\n")
    found = items.read(sheet.Source(path=str(tmp_path / "raw.csv")))
    assert found.rows["key"].to_pylist() == ["x", "y.mp4"]
    assert found.rows["licence"].to_pylist() == ["CC0-1.0", ""]


def test_licences_are_asked_for(tmp_path):
    source = write(
        tmp_path,
        a={"title": "t", "file": "a.mp4", "licence": "CC0-1.0"},
        b={"title": "t", "file": "b.mp4", "licence": "none at all"},
        c={"title": "t", "file": "c.mp4"},
    )
    some = items.read(dataclasses.replace(source, licences=("CC0-1.0",)))
    assert some.rows["key"].to_pylist() == ["a"]
    assert some.unused == {"none at all": 1, "": 1}
    with pytest.raises(errors.DataError, match=r"raw.json: c: has no licence"):
        items.read(dataclasses.replace(source, require_licence=True))
    with pytest.raises(errors.DataError, match="no item that may be used"):
        items.read(dataclasses.replace(source, licences=("MIT",)))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "holds a list"),
        ('{"a": 3}', "a: is no object"),
        ('{"a": {"title": "t"}}', "a: has no 'file'"),
        ("{}", "has no items"),
    ],
)
def test_a_wrong_source_is_told(tmp_path, content, told):
    (tmp_path / "raw.json").write_text(content)
    with pytest.raises(errors.DataError, match=told):
        items.read(sheet.Source(path=str(tmp_path / "raw.json")))


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    pytest.importorskip("lancedb")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(errors.DataError, match=r"is no store of a corpus \(it holds notes.txt\)"):
        raw.run(raw.config(raw.source(tmp_path / "source", 1)), tmp_path / "mine")

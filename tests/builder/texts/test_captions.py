"""Captions as stages: what they write is what the captioner writes, and all readers have it."""

import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest

import lb_jax
from lb_jax.builder import films, items, out, sheet, store
from lb_jax.builder.engine import driver, local, looking, ray
from lb_jax.builder.stage import Wants
from lb_jax.builder.texts import captioning, mplug, ofa, polish_mplug, sound_mplug, views
from lb_jax.builder.texts.polish_mplug import PolishMplug
from lb_jax.cli import corpus_run, main
from lb_jax.core import errors, shipped
from lb_jax.corpora import captions, manifest, records, vidal, webdataset
from lb_jax.demo import media
from tests.builder import raw
from tests.builder.texts import chat_server
from tests.builder.texts.chat_server import Reply

pytest.importorskip("lancedb")
pytest.importorskip("httpx2")
pytest.importorskip("lingua")

CAPTIONS = ("ofa", "mplug", "sound_mplug")
STAGES = ("title_length", "duration", *CAPTIONS, "polish_mplug")
POLISHED = "The film shows a thing that moves in a room."
ANNOUNCED = ("raw", "mplug", "polish_mplug", "sound_mplug", "ofa")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two films with sound, a silent one, one without a track, a damaged one."""
    folder = tmp_path_factory.mktemp("source")
    frames, wave = raw.drawn(20)
    path = raw.source(folder, 2, silent=(frames, wave * 0), mute=(frames, wave), damaged=None)
    media.write_video(folder / "mute.mp4", frames, 8)
    return path


def config(source, url="http://127.0.0.1:9/v1", folder="", stages=STAGES):
    polish = PolishMplug(
        base_url=url, model="small", cache=str(folder), per_minute=60_000.0, tries=2
    )
    return raw.config(
        source,
        stages,
        polish_mplug=polish,
        mplug=mplug.Mplug(batch_size=4),
        engine=sheet.Engine(workers=1),
    )


def answer(messages, number):
    return Reply(POLISHED)


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    """The sheet, folder and table of a whole run, and what the server was asked."""
    folder = tmp_path_factory.mktemp("done")
    with chat_server.serving(answer) as (url, seen):
        cfg = config(source, url, folder / "answers")
        plan, opened, table = raw.run(cfg, folder / "store")
    found = items.read(cfg.source)
    out.write(plan, cfg, found, opened, folder, formats=tuple(out.FORMATS), shown=False)
    polish_mplug._chat.cache_clear()
    return cfg, folder, table, seen


def by_key(table, column):
    return dict(zip(table["key"].to_pylist(), table[column].to_pylist(), strict=True))


def test_texts_are_those_of_the_captioner(done, source):
    _, _, table, _ = done
    model = lb_jax.load(shipped.CAPTIONER)
    keys = ("film000", "film001", "silent", "mute")
    paths = {key: str(source.parent / f"{key}.mp4") for key in keys}
    clips = dict(zip(keys, model.caption("tv", list(paths.values())), strict=True))
    assert by_key(table, "mplug.text") == {**clips, "damaged": None}
    heard = model.caption("ta", [paths["film000"], paths["film001"]])
    found = by_key(table, "sound_mplug.text")
    assert [found[key] for key in keys] == [*heard, None, None]
    for key in keys:
        with films.Film(paths[key], key, Wants(frozenset({8}))) as film:
            stills = [one[None] for one in film.pictures(8)]
        expected = model.caption("tv", stills, beam=5, no_repeat_ngram=3)
        assert by_key(table, "ofa.texts")[key] == expected


def test_what_has_no_sound_has_no_caption_of_it_and_stays(done):
    _, _, table, _ = done
    lacks = by_key(table, "sound_mplug.lacks")
    assert lacks["mute"] == "is a film without a sound track"
    assert lacks["silent"].startswith("is silent (its loudest")
    assert lacks["film000"] == ""
    kept = by_key(table, "kept")
    assert kept == dict.fromkeys(("film000", "film001", "silent", "mute"), True) | {
        "damaged": False
    }
    assert by_key(table, "mplug.model")["mute"] == shipped.CAPTIONER


def test_the_language_model_sees_title_and_caption(done):
    _, _, table, seen = done
    written = by_key(table, "mplug.text")
    assert len(seen.asked) == 4
    for key, title in by_key(table, "title").items():
        if key != "damaged":
            expected = f"Title: {title}\nCaption: {written[key]}\n"
            assert sum(expected in prompt for prompt in seen.prompts) == 1
    assert by_key(table, "polish_mplug.mplug") == written
    assert by_key(table, "polish_mplug.text")["mute"] == POLISHED


def test_the_annotation_has_every_kind(done):
    _cfg, folder, table, _ = done
    path = folder / "corpus" / "annotation.json"
    entries = {one["key"]: one for one in json.loads(path.read_text()).values()}
    assert set(ANNOUNCED) <= set(entries["film000"])
    assert "sound_mplug" not in entries["mute"]
    corpus = vidal.Vidal(path)
    assert set(corpus.text_kinds) == set(ANNOUNCED)
    rows = {corpus[n].id: corpus[n] for n in range(len(corpus))}
    ids = by_key(table, "id")
    texts = rows[ids["film000"]].texts
    assert texts["ofa"] == tuple(by_key(table, "ofa.texts")["film000"])
    assert len(texts["ofa"]) == captions.FRAMES_PER_ITEM
    assert texts["polish_mplug"] == POLISHED
    drawn, _ = captions.draw_text(rows[ids["mute"]], "mix", np.random.default_rng(0))
    assert drawn
    assert main.main(["data", "check", str(path)]) == 0


def test_other_forms_hold_the_same_texts(done):
    _, folder, _table, _ = done
    corpus = vidal.Vidal(folder / "corpus" / "annotation.json")
    expected = {corpus[n].id: dict(corpus[n].texts) for n in range(len(corpus))}
    packed = folder / "packed"
    for source in (
        manifest.Manifest(packed / "corpus.parquet"),
        webdataset.WebDataset(packed / "webdataset"),
        records.Records(packed / "array_record"),
    ):
        found = {source[n].id.rpartition("/")[2]: dict(source[n].texts) for n in range(len(source))}
        for texts in found.values():
            if "ofa" not in texts:
                texts["ofa"] = tuple(texts.pop(kind) for kind in captions.FRAME_KINDS)
        assert found == expected


def test_card_and_pages_tell_of_texts(done):
    _, folder, _table, _ = done
    card = json.loads((folder / "card.json").read_text())
    assert card["texts"] == {"raw": 4, "mplug": 4, "polish_mplug": 4, "sound_mplug": 2, "ofa": 4}
    assert card["sheet"]["polish_mplug"]["model"] == "small"
    assert "- sound_mplug: 2" in (folder / "card.md").read_text()
    page = (folder / "stages" / "polish_mplug.html").read_text()
    assert f"<b>{POLISHED}</b>" in page
    assert page.count("data:image/jpeg") == 4
    page = (folder / "stages" / "sound_mplug.html").read_text()
    assert "Without a text" in page
    assert "is a film without a sound track" in page


def test_a_stage_added_later_runs_alone(done, source, tmp_path, monkeypatch):
    cfg, folder, table, seen = done
    shutil.copytree(folder / "answers", tmp_path / "answers")
    uri = tmp_path / "store"
    url, stages = cfg.polish_mplug.base_url, ("title_length", "mplug")
    some = config(source, url, tmp_path / "answers", stages)
    raw.run(some, uri)
    asked, look = [], local.Local.films

    def watched(self, plan, batches, rows):
        batches = [list(batch) for batch in batches]
        asked.extend(task.names for batch in batches for task in batch)
        return look(self, plan, batches, rows)

    monkeypatch.setattr(local.Local, "films", watched)
    before = len(seen.asked)
    _, _, again = raw.run(dataclasses.replace(some, stages=("title_length", "mplug", "ofa")), uri)
    assert set(asked) == {("ofa",)}
    assert by_key(again, "ofa.texts") == by_key(table, "ofa.texts")
    asked.clear()
    stages = ("title_length", "mplug", "ofa", "polish_mplug")
    _, _, again = raw.run(dataclasses.replace(some, stages=stages), uri)
    assert asked == []
    assert by_key(again, "polish_mplug.text") == by_key(table, "polish_mplug.text")
    assert len(seen.asked) == before  # the server is gone, its answers are kept


def test_texts_do_not_depend_on_what_lies_beside_them(done, tmp_path):
    cfg, _folder, table, _ = done
    stages = ("title_length", "duration", *CAPTIONS)
    some = dataclasses.replace(cfg, stages=stages)
    _, _, again = raw.run(some, tmp_path / "store", workers=2, commit_rows=1)
    for name in ("ofa.texts", "mplug.text", "sound_mplug.text", "sound_mplug.lacks"):
        assert by_key(again, name) == by_key(table, name)


def test_shards_of_other_texts_are_written_again(done, tmp_path):
    _, folder, _table, _ = done
    shutil.copytree(folder, tmp_path / "out")
    cfg = dataclasses.replace(done[0], stages=("title_length", "duration", "mplug"))
    plan, found = sheet.plan(cfg), items.read(cfg.source)
    opened = store.Store.open(tmp_path / "out" / "store")
    out.write(plan, cfg, found, opened, tmp_path / "out", formats=("array_record",), shown=False)
    packed = records.Records(tmp_path / "out" / "packed" / "array_record")
    assert set(packed.text_kinds) == {"raw", "mplug"}


def test_the_plan_tells_models_and_servers(source, capsys):
    cfg = config(source)
    told = corpus_run.told_plan(sheet.plan(cfg), items.read(cfg.source))
    line = next(one for one in told if "polish_mplug" in one).partition(", needs ")[2]
    assert line == "httpx2, lingua-language-detector, by small at http://127.0.0.1:9/v1"
    assert next(one for one in told if " mplug " in one).endswith("by captioner")


@pytest.mark.parametrize(
    ("module", "settings", "told"),
    [
        (mplug, {"model": shipped.DEMO}, "config.mplug: demo: an encoder, which gives vectors"),
        (mplug, {"longest": 99}, "config.mplug: longest is 99, and the decoder has positions"),
        (mplug, {"model": "transformers:x"}, "x would write of single pictures, and mplug is of a"),
        (sound_mplug, {"model": "transformers:x"}, "and sound_mplug is of a film's sound; give a"),
    ],
)
def test_what_a_model_cannot_do_is_told_before_the_run(module, settings, told):
    name = module.VIEW.name
    settings = getattr(sheet.CorpusConfig(stages=(name,)), name).__class__(**settings)
    with pytest.raises(errors.ConfigError, match=told):
        sheet.plan(sheet.CorpusConfig(stages=(name,), **{name: settings}))


@pytest.mark.parametrize("settings", [{"model": ""}, {"beam": 0}, {"no_repeat_ngram": -1}])
def test_settings_that_are_none_are_told(settings):
    with pytest.raises(errors.ConfigError, match=r"^config.ofa: "):
        ofa.Ofa(**settings)


def test_a_model_that_writes_nothing_leaves_the_item_without():
    class Silent:
        settings, view = ofa.Ofa(), ofa.VIEW

        def write(self, looked):
            return [["a cat"] * 3 + [" "] + ["a cat"] * 4 for _ in looked]

    found = ofa.judge(None, [{}, {captioning.LACKS: "why"}], Silent())
    assert [one.figures["texts"] for one in found] == [None, None]
    lacks = [one.figures["lacks"] for one in found]
    assert lacks == ["the model wrote nothing of picture 3", "why"]
    assert all(one.kept for one in found)


def test_views_are_stages_and_kinds_of_captions():
    assert set(views.COLUMNS) <= set(captions.TEXT_KINDS)
    for kind, column in views.COLUMNS.items():
        names = [name for name, _ in sheet.stages_lib.STAGES[kind].figures]
        assert column in names


def test_actors_of_a_cluster_say_the_same(done):
    cfg, _, table, _ = done
    plan, found = sheet.plan(cfg), items.read(cfg.source)
    tasks = [
        driver.Task(place, found.path(file), ("duration", *CAPTIONS))
        for place, file in enumerate(found.rows["file"].to_pylist())
    ]
    look = ray.Look(looking.Looks.of(plan), 120.0)
    judging = tuple((one.name, one.prepared) for one in plan if one.stage.judge is not None)
    said = ray.Judge(judging, found.rows)(look(ray._rows(tasks, found.rows)))
    keys = found.rows["key"].to_pylist()
    for row in said.to_pylist():
        verdicts = dict(pickle.loads(row["said"]))
        assert ("mplug" in verdicts) == (keys[row["place"]] != "damaged")
        for name in {*CAPTIONS} & {*verdicts}:
            for figure, value in verdicts[name].figures.items():
                assert by_key(table, f"{name}.{figure}")[keys[row["place"]]] == value

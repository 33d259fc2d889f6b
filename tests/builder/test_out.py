"""What a run leaves: the corpus, in each form, its card and its pages."""

import json
import shutil

import numpy as np
import pytest

from lb_jax.builder import films, items, out, sheet, store
from lb_jax.builder.engine import local
from lb_jax.corpora import check, manifest, records, vidal, webdataset
from lb_jax.media import specs, video
from tests.builder import raw

pytest.importorskip("lancedb")

MEDIA = ("video", "image", "audio")


def run(cfg, folder, **settings):
    plan, source = sheet.plan(cfg), items.read(cfg.source)
    opened = store.Store.open(folder / "store")
    local.run(plan, source, opened, workers=1, shown=False)
    return out.write(plan, cfg, source, opened, folder, shown=False, **settings)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    frames, wave = raw.drawn(9)
    stands = frames[:1].repeat(len(frames), axis=0), wave
    return raw.source(tmp_path_factory.mktemp("source"), 4, stands=stands, damaged=None)


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    cfg = raw.config(source, engine=sheet.Engine(workers=1), out=sheet.Out(short_px=96))
    return run(cfg, folder, formats=tuple(out.FORMATS)), folder


def test_card_counts(done):
    card, folder = done
    assert (card["items"], card["kept"]) == (6, 4)
    assert card["licences"] == {"CC-BY-4.0": 2, "CC0-1.0": 2}
    assert card["sources"] == {"test": 4}
    assert card["sheet"]["still"] == {"least": 0.5, "pictures": 8}
    assert "cuts" not in card["sheet"]
    assert json.loads((folder / "card.json").read_text()) == card
    text = (folder / "card.md").read_text()
    assert "4 of 6 items are kept." in text
    assert "| `still`: films in which nothing moves | 5 | 4 | 1 | 0 | 80.0% |" in text


def test_corpus_is_one_that_is_read_and_whole(done):
    _, folder = done
    corpus = vidal.Vidal(folder / "corpus" / "annotation.json")
    assert len(corpus) == 4
    assert corpus.text_kinds == ("raw",)
    report = check.check(corpus, {name: specs.preset(name) for name in MEDIA}, processes=1)
    assert report.bad == []
    assert {name: report.as_dict()["modalities"][name]["files"] for name in MEDIA} == {
        "video": 4,
        "image": 32,
        "audio": 4,
    }


def test_films_are_of_the_size_that_is_asked_and_say_what_they_said(done, source):
    _, folder = done
    entries = json.loads((folder / "corpus" / "annotation.json").read_text())
    item, fields = next(iter(entries.items()))
    assert set(fields) == {"folder", "raw", "key", "licence", "source"}
    path = folder / "corpus" / "corpus_resize256_skip15" / f"{item}.mp4"
    shown = video.decode(str(path), specs.VideoSpec(frames=8))
    assert shown.shape == (8, 96, 96, 3)
    before = video.decode(str(source.parent / f"{fields['key']}.mp4"), specs.VideoSpec(frames=8))
    small = np.stack([films.shrunk(one, 96) for one in before])
    assert np.corrcoef(shown.ravel(), small.ravel())[0, 1] > 0.9


def test_small_films_are_taken_as_they_are(source, tmp_path):
    run(raw.config(source, engine=sheet.Engine(workers=1)), tmp_path)
    entries = json.loads((tmp_path / "corpus" / "annotation.json").read_text())
    for item, fields in entries.items():
        path = tmp_path / "corpus" / "corpus_resize256_skip15" / f"{item}.mp4"
        assert path.read_bytes() == (source.parent / f"{fields['key']}.mp4").read_bytes()


def test_other_forms_hold_the_same(done):
    _, folder = done
    titles = sorted(
        one["raw"]
        for one in json.loads((folder / "corpus" / "annotation.json").read_text()).values()
    )
    packed = folder / "packed"
    for source in (
        manifest.Manifest(packed / "corpus.parquet"),
        webdataset.WebDataset(packed / "webdataset"),
        records.Records(packed / "array_record"),
    ):
        assert sorted(source[n].texts["raw"] for n in range(len(source))) == titles
        assert {"video", "image", "audio"} <= set(source[0].media)
    assert (packed / "tfds" / "index.json").exists()


def test_pages_show_both(done):
    _, folder = done
    page = (folder / "stages" / "still.html").read_text()
    assert "<h2>Kept</h2>" in page
    assert "stands still (change 0." in page
    assert page.count("data:image/jpeg") == 5
    assert "Bad" in (folder / "stages" / "duration.html").read_text()


def test_what_is_not_kept_any_more_goes(done, source, tmp_path):
    _, folder = done
    shutil.copytree(folder, tmp_path / "out")
    cfg = raw.config(
        source,
        tuple(name for name in raw.PLAIN if name != "still"),
        engine=sheet.Engine(workers=1),
        out=sheet.Out(short_px=96),
    )
    clips = tmp_path / "out" / "corpus" / "corpus_resize256_skip15"
    assert run(cfg, tmp_path / "out")["kept"] == 5 == len(list(clips.glob("*.mp4")))
    again = raw.config(source, engine=sheet.Engine(workers=1), out=sheet.Out(short_px=96))
    assert run(again, tmp_path / "out")["kept"] == 4 == len(list(clips.glob("*.mp4")))
    assert len(list(clips.glob("*_folder"))) == 4

"""The demo's model says what it knows, and who takes it for want of another is told."""

import pytest

from lb_jax.convert import hub
from lb_jax.core import checkpoint, errors, shipped
from lb_jax.demo import card, films, scene


def test_who_names_no_model_is_told_once_and_how_to_take_a_real_one(capsys):
    assert shipped.instead_of(None, "index build") == "demo"
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lb-jax index build: with the demo's model, which knows only")
    assert err.rstrip().endswith("--model LanguageBind/LanguageBind_Video_FT")
    assert err.count("\n") == 1
    assert shipped.instead_of("demo", "index build") == "demo"
    assert shipped.instead_of("mine", "index build") == "mine"
    assert capsys.readouterr() == ("", "")


def test_its_card_names_all_that_it_knows():
    text = (shipped.unpacked(shipped.DEMO) / checkpoint.CARD).read_text()
    assert text == card.text()
    assert all(value in text for values in scene.VALUES.values() for value in values)
    assert shipped.REAL in text


def test_the_card_of_the_captioner_names_its_words_and_questions():
    text = (shipped.unpacked(shipped.CAPTIONER) / checkpoint.CARD).read_text()
    assert text == card.of_captioner()
    assert all(said in text for values in films.WORDS.values() for said in values)
    assert all(question in text for asked in films.QUESTIONS.values() for question in asked)


@pytest.mark.parametrize(
    ("name", "beside"),
    [(shipped.DEMO, checkpoint.CALIBRATION), (shipped.CAPTIONER, checkpoint.VOCABULARY)],
)
def test_a_copy_keeps_what_lies_beside(tmp_path, name, beside):
    source = shipped.unpacked(name)
    checkpoint.copy(source, tmp_path / "copy")
    for one in (checkpoint.CARD, beside):
        assert (tmp_path / "copy" / one).read_bytes() == (source / one).read_bytes()


@pytest.mark.parametrize("name", shipped.MODELS)
def test_each_is_packed_unpacked_and_taken_by_its_name(tmp_path, monkeypatch, capsys, name):
    archive = tmp_path / shipped.MODELS[name].archive
    monkeypatch.setattr(shipped, "archive_of", lambda name: archive)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shipped.unpacked.cache_clear()
    for call in (lambda: hub.local(name), lambda: shipped.instead_of(None, "caption", name=name)):
        with pytest.raises(errors.ConfigError, match="comes with this version") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert shipped.MODELS[name].remedy in str(caught.value)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    shipped.pack(tmp_path / "model", archive)
    assert (hub.local(name) / "config.json").read_text() == "{}"
    assert shipped.instead_of(None, "caption", name=name) == name
    assert shipped.MODELS[name].knows in capsys.readouterr().err
    shipped.unpacked.cache_clear()


def test_an_archive_of_the_package_is_written_by_its_name(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(shipped, "pack", lambda *given: written.append(given))
    shipped.main(["build/demo-model"])
    shipped.main(["build/captioner", "captioner"])
    assert [(str(folder), path.name) for folder, path in written] == [
        ("build/demo-model", "model.zip"),
        ("build/captioner", "captioner.zip"),
    ]
    assert {path.parent.parts[-2:] for _, path in written} == {("lb_jax", "demo")}

"""The demo's model says what it knows, and who takes it for want of another is told."""

from lb_jax.core import checkpoint, shipped
from lb_jax.demo import card, scene


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
    text = (shipped.demo_model() / checkpoint.CARD).read_text()
    assert text == card.text()
    assert all(value in text for values in scene.VALUES.values() for value in values)
    assert shipped.REAL in text


def test_a_copy_keeps_the_card(tmp_path):
    checkpoint.copy(shipped.demo_model(), tmp_path / "copy")
    assert (tmp_path / "copy" / checkpoint.CARD).read_text() == card.text()

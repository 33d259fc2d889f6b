"""`lb-jax corpus generate` from a command line."""

import json

import pytest

from lb_jax.convert import glpn, munit
from tests import generators
from tests.media import media_files


@pytest.fixture
def world(tmp_path):
    """A film and both networks, small."""
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mp4").write_bytes(media_files.clip(9))
    (tmp_path / "films" / "note.txt").write_text("not a film")
    glpn.save(tmp_path / "glpn", generators.SMALL_GLPN, generators.drawn_glpn())
    munit.save(tmp_path / "munit", generators.SMALL_MUNIT, generators.drawn_munit())
    return tmp_path


LINE = "corpus generate {tmp}/films -o {tmp}/out"


def test_both_modalities_of_a_folder(call, world):
    line = f"{LINE} --depth {{tmp}}/glpn --infrared {{tmp}}/munit --frames 2 --seed 3 --lossless"
    result = call(line)
    assert (result.status, result.err) == (0, "")
    assert "1 film: depth of 1, thermal of 1, 4 pictures" in result.out
    assert "left out" in result.out
    folders = {"a_depth_f8glpn_folder": "png", "a_thermal_folder": "png"}
    for name, ending in folders.items():
        found = {path.name for path in (world / "out" / name).iterdir()}
        assert found == {f"0.{ending}", f"1.{ending}", "made.json"}
    record = json.loads((world / "out" / "a_thermal_folder" / "made.json").read_text())
    assert (record["options"]["seed"], record["options"]["frames"]["count"]) == (3, 2)
    again = call(line)
    assert "2 folders there before" in again.out
    other = call(line.replace("--seed 3", "--seed 4"))
    assert other.status == 2
    assert "options.seed 3, now 4" in other.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "nothing to make"),
        ("--depth {tmp}/glpn --seed 1", "--seed is of infrared"),
        ("--depth {tmp}/glpn --lossless", "--lossless is of infrared"),
        ("--infrared {tmp}/munit --seed -1", "--seed is -1"),
        ("--infrared {tmp}/munit --frames 0", "--frames is 0"),
        ("--depth {tmp}/munit", "no weights"),
        ("--infrared {tmp}/glpn", "holds neither translation_weights.pt"),
        ("--depth {tmp}/glpn --preset both", "--preset"),
    ],
)
def test_mistakes_are_one_line(call, world, options, told):
    result = call(f"{LINE} {options}")
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert told in result.err
    assert not list((world / "out").glob("*_folder")) if (world / "out").exists() else True


def test_a_model_of_transformers_names_what_is_missing(call, world, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    result = call(f"{LINE} --depth transformers:some/model")
    assert result.status == 2
    assert "needs the package" in result.err
    assert result.err.count("\n") == 1

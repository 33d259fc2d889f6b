"""Commands of README and docs do what they say: those of README here, all by `docs_runs`."""

import re

import numpy as np
import pytest

from lb_jax.cli import main
from lb_jax.training import compiled
from tests import docs_commands, docs_runs, docs_world
from tests.goldens import ROOT

PAGE = "README.md"
ALL = [one for page in docs_commands.PAGES for one in docs_commands.commands_of(page)]
TO_RUN = [one for one in ALL if docs_runs.reason(one) is None]
LEFT_OPEN = re.compile(r"…|(?<![\w.])[A-Z]{2,}(?![\w.])|(?<![\w.])[A-Z](?![\w.])")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_every_command_runs_or_has_a_reason():
    assert {one.words[0] for one in TO_RUN} == {"lb-jax"}
    assert len(TO_RUN) > 60
    for pattern in docs_runs.ELSEWHERE:
        assert any(re.fullmatch(pattern, one.text) for one in ALL), f"no command is {pattern}"


def test_a_command_that_is_new_is_run():
    new = docs_commands.Command(PAGE, "lb-jax index ask media.index", True)
    assert docs_runs.reason(new) is None
    assert docs_runs.reason(docs_commands.Command(PAGE, "npm install", True)) is None


@pytest.mark.parametrize("command", TO_RUN, ids=[f"{one.page}: {one.text}" for one in TO_RUN])
def test_a_command_that_runs_has_a_value_for_what_is_left_open(command):
    words = " ".join(word for word in docs_runs.words_of(command) if word != "DST")
    assert LEFT_OPEN.findall(words.replace('"', "")) == [], words


@pytest.fixture
def world(tmp_path, monkeypatch):
    """The folder of the README."""
    monkeypatch.setattr(compiled, "keep", lambda: None)  # it is the whole process's
    docs_world.make(tmp_path, (ROOT / PAGE).read_text("utf-8"))
    return tmp_path


def test_commands_of_the_readme_work(world, capfd):
    with docs_world.inside(world):
        for command in docs_commands.commands_of(PAGE):
            words = docs_runs.prepare(command, world)
            if docs_runs.reason(command) or words[1] in ("serve", "doctor"):
                continue
            if words[1] == "train":
                words.append("--config.steps=2")
            capfd.readouterr()
            assert main.main(words[1:]) == 0, f"{command.text}: {capfd.readouterr().err}"
    assert (world / "result/report.html").is_file()
    assert (world / "run/checkpoint/calibration.json").is_file()


def test_the_program_of_the_readme_prints_what_it_says(tmp_path, capfd):
    programs = PYTHON.findall((ROOT / PAGE).read_text("utf-8"))
    (program,) = (one for one in programs if 'load("demo")' in one)
    with docs_world.inside(tmp_path):
        docs_world.called("demo", "corpus", "--out=scenes", "--items=64")
        capfd.readouterr()
        exec(f"import lb_jax\n{program}", {})
    (told,) = re.findall(r"print\(.*# (\[\[.*\]\])", program)
    assert capfd.readouterr().out.split() == told.split()


def test_the_program_of_own_vectors_writes_a_store_that_is_in_order(tmp_path, capfd):
    programs = PYTHON.findall((ROOT / "docs/search.md").read_text("utf-8"))
    (program,) = (one for one in programs if "my_clip" in one)
    vectors = {"cat.png": np.eye(512, dtype=np.float32)[3] * 2}
    vectors["dog.png"] = np.ones(512, np.float32)
    with docs_world.inside(tmp_path):
        for name in vectors:
            (tmp_path / name).write_bytes(name.encode())
        exec(program, {"my_clip": lambda file: vectors[file].copy()})
        assert capfd.readouterr().out == f"{tmp_path}/cat.png 1.0\n"
        docs_world.called("index", "check", "own.index")
        docs_world.called("index", "info", "own.index")
    assert "my-clip-1"[:12] in capfd.readouterr().out

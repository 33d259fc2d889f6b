"""Every command that README and docs show is there: program, subcommand, options and values.

`lb-jax` parses them, with its own parsers, and stops before it does anything.
"""

import argparse
import ast
import contextlib
import importlib.util
import re

import pytest

from lb_jax.cli import main
from lb_jax.training import sheets
from tests import docs_commands
from tests.goldens import ROOT

# What stands for a value on the pages: one that the option takes.
VALUES = {
    "--config=configs/X.py": "--config=configs/depth.py",
    "--config=": "--config=configs/depth.py",
    "--config.name=value": "--config.steps=2",
    "--only MODALITY,...": "--only image",
    "FORMAT": "orbax",
    "STEP": "1",
    "N": "1",
    "--items M": "--items 64",
}
TARGET = re.compile(r"^([\w-]+):", re.MULTILINE)
EXTRA = re.compile(r"\[([\w,]+)\]")
COMMANDS = docs_commands.commands()
OURS = [one for one in COMMANDS if one.words[0] == "lb-jax"]
OTHERS = [one for one in COMMANDS if one.words[0] != "lb-jax"]


class Parsed(BaseException):
    """The arguments were understood; nobody on the way catches this."""


@pytest.fixture
def stops(monkeypatch):
    """The parsers end with `Parsed`, and no folder is made."""
    monkeypatch.chdir(ROOT)
    for owner, name in (
        (argparse.ArgumentParser, "parse_args"),
        (argparse.ArgumentParser, "parse_intermixed_args"),
        (sheets, "parse"),
    ):
        parse = getattr(owner, name)

        def stop(*args, parse=parse, **settings):
            parse(*args, **settings)
            raise Parsed

        monkeypatch.setattr(owner, name, stop)


def given(command):
    """Words of a command with values in the place of what stands for them."""
    words = " \0".join(command.words[1:])
    for name, value in VALUES.items():
        name, value = (one.replace(" ", " \0") for one in (name, value))
        words = re.sub(rf"(?:(?<=\0)|^){re.escape(name)}(?= \0|$)", value, words)
    return words.split(" \0")


def understood(words, capsys):
    """Whether a command line is parsed; otherwise what the command says."""
    try:
        main.main(words)
    except Parsed:
        return True
    return capsys.readouterr().err


@pytest.mark.parametrize("command", OURS, ids=[one.text for one in OURS])
def test_arguments_of_a_command_are_taken(command, stops, capsys):
    said = understood(given(command), capsys)
    if said is True:
        return
    # named in a sentence, without what it must have: its name and its options are there
    assert not command.is_shown, said
    names = [word for word in command.words[1:] if not word.startswith("-")]
    options = [word.partition("=")[0] for word in command.words[1:] if word.startswith("-")]
    with contextlib.suppress(Parsed, SystemExit):  # argparse leaves after --help
        assert main.main([*names, "--help"]) == 0
    told = capsys.readouterr().out
    assert "usage: " in told
    assert [one for one in options if one not in told and not one.startswith("--config.")] == []


@pytest.mark.parametrize("command", OTHERS, ids=[one.text for one in OTHERS])
def test_what_another_program_is_given_is_there(command):
    program, *words = command.words
    text = " ".join(words)
    if program == "make":
        targets = set(TARGET.findall((ROOT / "Makefile").read_text("utf-8")))
        assert {word for word in words if "=" not in word} <= targets
    elif program == "pip":
        assert {one for few in EXTRA.findall(text) for one in few.split(",")} <= extras()
    elif "NAME" in text:
        return
    elif words[:1] == ["-m"]:
        assert importlib.util.find_spec(words[1]) is not None
        paths = [ROOT / word for word in words[2:] if "/" in word]
        assert [path for path in paths if not path.exists()] == []
    else:
        script = ROOT / (words[0] if words else program)
        source = script.read_text("utf-8")
        assert [word for word in words if word.startswith("--") and word not in source] == []


def extras():
    """Names of the extras in setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text("utf-8"))
    (found,) = (
        one.value
        for one in ast.walk(tree)
        if isinstance(one, ast.keyword) and one.arg == "extras_require"
    )
    return set(map(ast.literal_eval, found.keys))


def test_a_wrong_command_is_found(stops, capsys):
    for text in ("lb-jax index search x --stroe y", "lb-jax evaluate --tusks a --data C --model M"):
        command = docs_commands.Command("README.md", text, True)
        assert "unrecognized arguments" in understood(given(command), capsys)
    command = docs_commands.Command("README.md", "lb-jax serch x", True)
    assert "unknown command" in understood(given(command), capsys)
    assert len(OURS) > 40
    assert len(OTHERS) > 20


def test_commands_are_read_as_they_stand():
    assert docs_commands.spread(r"lb-jax index a\|b-c x") == [
        "lb-jax index a x",
        "lb-jax index b-c x",
    ]
    command = docs_commands.Command("", '.venv/bin/lb-jax a D… [-o X] [--c=d …] "e f"', True)
    assert command.words == ["lb-jax", "a", "D", "-o", "X", "--c=d", "e f"]

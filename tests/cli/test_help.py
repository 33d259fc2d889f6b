"""Every command tells what it takes."""

import re

import pytest

from lb_jax.cli import data, main

ARGUMENTS = {
    "demo": ("--out", "--seed", "--items"),
    "demo corpus": ("--out", "--seed", "--items", "--kind"),
    "demo caption": ("--out", "--seed", "--items"),
    "train": ("--config", "--workdir", "--config.name=value"),
    "plan": ("--config", "--topology", "--search", "--json", "--config.name=value"),
    "evaluate": ("--model", "--data", "--split", "--out"),
    "calibrate": ("--model", "--data", "--split"),
    "replay": ("WORKDIR", "STEP"),
    "convert": ("SRC", "DST", "--to", "--only", "--merge-lora", "--config", "--verify"),
    "deflate": (
        *("MODEL", "--out", "--images", "--naive", "--steps", "--batch-size", "--learning-rate"),
        *("--frames", "--seed", "--as", "--quarantine", "--max-bad-rate"),
    ),
    "data convert": ("SRC", "DST", "--root", "--columns", "--only", "--to", "--max-bad-rate"),
    "corpus": ("terms", "collect", "run", "demo", "generate"),
    "corpus terms": ("--config", "--out", "--config.name=value"),
    "corpus collect": ("--config", "--out", "--config.name=value"),
    "corpus run": ("--config", "--out", "--engine", "--address", "--to", "--plan"),
    "corpus demo": ("--out", "--seed", "--items"),
    "corpus generate": (
        *("items", "--out", "--depth", "--infrared", "--preset", "--frames", "--seed"),
        *("--lossless", "--batch-size", "--workers", "--as", "--root", "--list-left-out"),
        *("--quarantine", "--max-bad-rate"),
    ),
    "serve": (
        *("--model", "--store", "--captioner", "--host", "--port", "--token", "--max-queue"),
        "--workers",
    ),
    "embed": ("--model", "--modality", "--out", "--batch-size", "items"),
    "caption": (
        *("items", "--out", "--model", "--config", "--group", "--beam", "--longest", "--frames"),
        *("--clips", "--batch-size", "--workers", "--retry", "--quarantine", "--max-bad-rate"),
        *("--timeout", "--as", "--root", "--list-left-out"),
    ),
    "ask": ("FILE", "QUESTION", "--json", "--model", "--group", "--beam", "--shortest"),
    "index": ("build", "search", "info", "check", "upgrade"),
    "index build": ("items", "--out", "--model", "--window", "--captions", "--captioner"),
    "index search": (
        *("--store", "--model", "--like", "--like-modality", "--weight", "--modality", "--under"),
        *("--after", "--before", "-k", "--json", "--no-merge", "--exact", "--by"),
    ),
    "index info": ("--store", "--json"),
    "index check": ("--store", "--json"),
    "index upgrade": ("store", "--model", "--drop-previous", "--abandon"),
    "doctor": ("--model", "--store", "--json", "--write-golden"),
}


def test_every_command_is_in_this_table():
    assert {command.split()[0] for command in ARGUMENTS} == set(main.COMMANDS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", ARGUMENTS)
def test_help_names_the_arguments(call, command, flag):
    result = call(f"{command} {flag}")
    assert (result.status, result.err) == (0, "")
    assert f"lb-jax {command}" in result.out
    for argument in ARGUMENTS[command]:
        assert argument in result.out


@pytest.mark.parametrize("line", ["data --help", "data -h", "data help"])
def test_usage_of_data_lists_its_commands(call, line):
    result = call(line)
    assert (result.status, result.err) == (0, "")
    for name, (_, what) in data.SUBCOMMANDS.items():
        assert f"  {name}" in result.out
        assert what in result.out


@pytest.mark.parametrize("line", ["", "--help", "-h", "help", "--debug"])
def test_usage_lists_the_commands(call, line):
    result = call(line)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("usage: lb-jax COMMAND")
    for name, what in main.COMMANDS.items():
        assert f"  {name}" in result.out
        assert what in result.out


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_one_line(call, flag):
    result = call(flag)
    assert (result.status, result.err) == (0, "")
    assert re.fullmatch(r"lb-jax \d+\.\d+\.\d+ \(jax [\d.]+, Python [\d.]+\)\n", result.out)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("search", "'index search'"),
        ("serch", "'index search'"),
        ("index-search", "'index search'"),
        ("build", "'index build'"),
        ("check", "'index check' or 'data check'"),
        ("embedding", "'embed'"),
        ("finetune", "'train'"),
        ("query", "'index search'"),
    ],
)
def test_a_wrong_command_names_the_one_that_was_meant(call, typed, meant):
    result = call(f"{typed} x")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert f"unknown command {typed!r}. Did you mean {meant}?" in result.err


def test_what_else_people_type_is_a_command():
    commands = {*main.COMMANDS, "--version"}
    assert {meant.split()[0] for meant in main.MEANT.values()} <= commands

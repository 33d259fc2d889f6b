"""METEOR and SPICE: what is missing is said before anything runs; what they get, and give back."""

import importlib.util
import io
import shutil
import sys
import types

import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import java_scorers


def test_an_unknown_scorer_is_named():
    with pytest.raises(errors.ConfigError, match=r"no scorer of captions 'METOER'.*METEOR"):
        java_scorers.require(["METOER"])


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.ConfigError, match=r"pip install 'lb_jax\[captions\]'"):
        java_scorers.require(["METEOR"])
    java_scorers.require([])


def test_without_java_a_runtime_is_named(monkeypatch):
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(errors.ConfigError, match="there is no program java; install"):
        java_scorers.require(["METEOR"])


def test_without_its_parser_spice_says_how_to_get_it(monkeypatch, tmp_path):
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setattr(shutil, "which", lambda name: "java")
    spec = importlib.util.find_spec("pycocoevalcap")
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(errors.ConfigError, match=r"SPICE needs .*3\.6\.0\.jar.*stanford_models"):
        java_scorers.require(["SPICE"])


class Meteor:
    """Stands for the Java program, which takes a minute to start."""

    def __init__(self):
        Meteor.last = self
        self.killed = False
        self.meteor_p = self
        self.stdin = self.stdout = self.stderr = io.BytesIO()

    def compute_score(self, gts, res):
        self.given = gts, res
        return 0.5, [0.25 * (i + 1) for i in range(len(gts))]

    def kill(self):
        self.killed = True

    def wait(self):
        return 0


def test_meteor_gets_words_and_its_program_is_ended(monkeypatch):
    module = types.SimpleNamespace(Meteor=Meteor)
    for name in ("pycocoevalcap", "pycocoevalcap.meteor"):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(meteor=module))
    monkeypatch.setattr(java_scorers, "require", lambda names: None)
    references = {"b": ["A dog barks.", "the dog, barking"], "a": ["rain falls"]}
    found = java_scorers.score(references, {"a": "Rain!", "b": "A dog"}, ["METEOR"])
    assert Meteor.last.given == (
        {"b": ["a dog barks", "the dog barking"], "a": ["rain falls"]},
        {"b": ["a dog"], "a": ["rain"]},
    )
    assert Meteor.last.killed
    assert found.corpus == {"METEOR": 0.5}
    assert found.per_item == {"b": {"METEOR": 0.25}, "a": {"METEOR": 0.5}}

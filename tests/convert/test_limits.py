"""What a format cannot hold is told by name, with ways of which every one works."""

import dataclasses
import re

import numpy as np
import pytest

from lb_jax.cli import main
from lb_jax.convert import limits, verify, weights, write
from lb_jax.core import errors, shipped
from lb_jax.models.lora import LoraConfig
from tests.convert import small

SOUND = dataclasses.replace(small.LORA, image_size=(8, 32))
TUBES = dataclasses.replace(small.VIDEO, frames=4, tube_size=2, lora=None)
MIXED = dataclasses.replace(small.VISION, activation="quick_gelu")
LANGUAGEBIND = {
    "image": small.LORA,
    "video": small.VIDEO,
    "depth": small.LORA,
    "thermal": dataclasses.replace(small.VISION, lora=LoraConfig(rank=4)),
    "audio": SOUND,
}


def same_text(folder, first):
    """Gives a folder the text tower of another, as all LanguageBind models have one."""
    table = small.safetensors.numpy.load_file(first / "model.safetensors")
    text = {name: one for name, one in table.items() if name.startswith("text")}
    small.rewrite(folder, lambda found: found.update(text))
    return folder


def languagebind(folder, names=tuple(LANGUAGEBIND)):
    given = {
        name: small.languagebind_folder(folder / name, name, LANGUAGEBIND[name]) for name in names
    }
    first = given[names[0]]
    return {name: same_text(one, first) for name, one in given.items()}


def ours(folder):
    write.write(weights.open_weights(languagebind(folder / "of")), folder / "ours", "safetensors")
    return folder / "ours"


def cleaned(folder):
    source = small.open_clip_folder(folder)
    path = folder / "open_clip_config.json"
    text = '"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}, '
    path.write_text(path.read_text().replace('"text_cfg": {', text))
    return source


def of_one(name):
    return lambda folder: {**languagebind(folder, (name,))}


SOURCES = {
    **{name: of_one(name) for name in LANGUAGEBIND},
    "tubes": lambda folder: small.languagebind_folder(folder, "video", TUBES),
    "two activations": lambda folder: small.languagebind_folder(folder, "image", MIXED),
    "CLIP": small.clip_folder,
    "CLIP as thermal": lambda folder: {"thermal": small.clip_folder(folder)},
    "OpenCLIP": small.open_clip_folder,
    "OpenCLIP, texts cleaned otherwise": cleaned,
    "all of LanguageBind": languagebind,
    "our checkpoint": ours,
    "picture and clip": lambda folder: languagebind(folder, ("thermal", "video")),
    "demo": lambda folder: shipped.unpacked(shipped.DEMO),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Source -> weights, each opened once."""
    found = {}

    def of(source):
        if source not in found:
            folder = tmp_path_factory.mktemp("source")
            found[source] = weights.open_weights(SOURCES[source](folder / "it"))
        return found[source]

    return of


def changed(stored, to, way):
    """The weights and the format that one way of a message leads to."""
    if only := re.search(r"--only=(\S+)", way):
        stored = weights.Only(stored, only[1].split(","))
    if "--merge-lora" in way:
        stored = weights.Merged(stored)
    return stored, to


def choices(stored, to):
    """(weights, format) of every way that a message names."""
    for way in limits.ways(stored, to):
        if way.startswith("choose --to="):
            yield from ((stored, one) for one in way.removeprefix("choose --to=").split(" or "))
        else:
            yield changed(stored, to, way)


@pytest.mark.parametrize("to", sorted(write.FORMATS))
@pytest.mark.parametrize("source", SOURCES)
def test_no_message_leads_to_another(opened, tmp_path, source, to):
    stored = opened(source)
    for chosen in (stored, *(weights.Only(stored, [name]) for name in stored.config.towers)):
        if not limits.obstacles(chosen, to):
            continue
        with pytest.raises(errors.CheckpointError, match=f"--to={to} cannot hold") as told:
            write.write(chosen, tmp_path / "refused", to)
        assert not (tmp_path / "refused").exists()
        for way in limits.ways(chosen, to):
            assert way in str(told.value)
        for other, form in choices(chosen, to):
            assert not limits.obstacles(other, form)


# The others are one of these again; what is not refused is written.
@pytest.mark.parametrize("to", ["hf", "clip", "open_clip"])
@pytest.mark.parametrize("source", ["picture and clip", "two activations"])
def test_what_a_message_names_is_written(opened, tmp_path, source, to):
    stored = opened(source)
    ways = list(choices(stored, to)) if limits.obstacles(stored, to) else [(stored, to)]
    for number, (chosen, form) in enumerate(ways):
        write.write(chosen, tmp_path / str(number), form)
        found = verify.differences(chosen, tmp_path / str(number), form)
        assert found.keys() == {*chosen.config.towers, "text"}
        assert max(found.values()) < 2e-6


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        (
            "all of LanguageBind",
            "open_clip",
            r"cannot hold LoRA factors \(image, video, depth, thermal, audio\), time attention "
            r"\(video\); add --only=image,depth,thermal,audio --merge-lora, or choose --to=hf or "
            r"safetensors\.$",
        ),
        (
            "all of LanguageBind",
            "clip",
            r"time attention \(video\), a grid of 8 mel bins by 32 "
            r"steps of time \(audio\); add --only=image,depth,thermal, or choose --to=hf or",
        ),
        ("depth", "open_clip", r"LoRA factors \(depth\); add --merge-lora, or choose --to=hf or"),
        ("tubes", "clip", r"tubes \(video\); choose --to=hf or"),
        (
            "two activations",
            "open_clip",
            r"quick_gelu beside gelu in the text tower \(image\); choose --to=hf or clip or safe",
        ),
        (
            "OpenCLIP, texts cleaned otherwise",
            "hf",
            r"the cleaning 'canonicalize', which CLIP's own tokenizer has not \(text\); choose "
            "--to=clip or open_clip or safetensors",
        ),
    ],
)
def test_the_one_reason_is_named(opened, tmp_path, source, to, message):
    with pytest.raises(errors.CheckpointError, match=message):
        write.write(opened(source), tmp_path / "out", to)


def test_only_some_modalities_are_written(opened, tmp_path):
    stored = opened("our checkpoint")
    only = weights.Only(stored, ["thermal", "image"])
    assert [*only.config.towers] == ["image", "thermal"]  # in the order of the source
    assert only.digest not in (stored.digest, weights.Only(stored, ["image"]).digest)
    write.write(only, tmp_path / "some", "safetensors")
    written = weights.open_weights(tmp_path / "some")
    assert {*written.preprocess} == {*written.origin} == {"image", "thermal"}
    assert {*written.part("logit_scale")} == {*only.part("logit_scale")} == {"image", "thermal"}
    for name in ("image", "thermal"):
        x = verify.random_input(write.LanguageBind(stored.config), name)
        before, after = (verify.embed(one, name, x) for one in (stored, written))
        np.testing.assert_array_equal(before, after)


def test_only_of_a_modality_that_is_not_there(opened, tmp_path, capfd):
    with pytest.raises(errors.ConfigError, match=r"has depth and no image; choose some of those"):
        weights.Only(opened("depth"), ["depth", "image"])
    for given, told in (("dept", "Did you mean 'depth'"), ("text", "expected some of image, vi")):
        line = ["convert", str(tmp_path), str(tmp_path / "out"), "--to=hf", f"--only={given}"]
        assert main.main(line) == 2
        assert told in capfd.readouterr().err


def test_a_library_that_is_not_installed_is_named(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.ConfigError, match=r"library flatbuffers.*pip install flatbuffers"):
        write.write(opened("CLIP"), tmp_path / "out", "stablehlo")

"""Opening a checkpoint: it is self-contained, read part by part, and damage is named."""

import json

import numpy as np
import pytest

import lb_jax
from lb_jax.core import checkpoint, errors
from lb_jax.inference import api
from tests.inference import copies


def test_moved_checkpoint_gives_the_same_vectors(model, load, copy, tmp_path):
    text, depth = ["a cat"], [np.full((50, 60), 2000, np.uint16)]
    moved = copy.rename(tmp_path / "moved")
    twin = load(moved)
    assert twin.digest == model.digest
    np.testing.assert_array_equal(twin.embed("text", text), model.embed("text", text))
    np.testing.assert_array_equal(twin.embed("depth", depth), model.embed("depth", depth))


def test_work_directory_stands_for_its_checkpoint(model, copy):
    copy.rename(copy.with_name("checkpoint"))
    assert api.load(copy.parent).digest == model.digest
    assert api.load(str(copy.parent)).digest == model.digest


def test_scalars_are_stored_as_scalars(folder, model):
    stored = checkpoint.load_params(folder)["logit_scale"]["video"]
    assert stored.shape == ()
    assert model.logit_scale["video"] == float(stored)


def edit_config(change):
    """A change of the parsed config, as a damage."""

    def damage(folder):
        path = folder / checkpoint.CONFIG
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    return damage


def content(name, change):
    """A change of a file's bytes, as a damage."""

    def damage(folder):
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def leaves(**params):
    """Other leaves, with `__` for `/`, as a damage."""
    named = {path.replace("__", "/"): leaf for path, leaf in params.items()}
    return lambda folder: copies.rewrite(folder, params=named)


CONFIG, WEIGHTS = checkpoint.CONFIG, checkpoint.WEIGHTS
VECTOR = np.zeros(3, np.float32)
DAMAGES = {
    "no config": (lambda f: (f / CONFIG).unlink(), r"not a checkpoint.*found \['model"),
    "config cut": (content(CONFIG, lambda b: b[:200]), r"config\.json: not valid JSON in line \d"),
    "config empty": (content(CONFIG, lambda b: b""), r"config\.json: not valid JSON in line 1"),
    "config binary": (content(CONFIG, lambda b: b"\xff\xfe"), r"config\.json: not UTF-8"),
    "config a list": (content(CONFIG, lambda b: b"[]"), "expected .format.*found 'list'"),
    "other format": (edit_config(lambda c: c.update(format="x-9")), "expected .*lb_jax.*'x-9'"),
    "no model": (edit_config(lambda c: c.pop("model")), 'config.json: has no "model"'),
    "unknown key": (
        edit_config(lambda c: c["model"]["text"].update(widht=3)),
        r"config\.json: unknown key 'text\.widht'.*Did you mean 'width'",
    ),
    "wrong type": (
        edit_config(lambda c: c["model"]["towers"]["video"].update(width="64")),
        r"config\.json: towers\.video\.width is '64'; expected a value of type int",
    ),
    "wrong length": (
        edit_config(lambda c: c["model"]["towers"]["video"].update(image_size=[48])),
        r"towers\.video\.image_size is \[48\]; expected 2 values",
    ),
    "tower no dict": (
        edit_config(lambda c: c["model"]["towers"].update(video=3)),
        r"towers\.video is 3; expected a dict",
    ),
    "no preprocessing": (
        edit_config(lambda c: c["preprocess"].pop("video")),
        r'config\.json: "preprocess" is of .*video',
    ),
    "unknown preprocessing": (
        edit_config(lambda c: c["preprocess"]["video"].update(frame=3)),
        r"copy: video preprocessing has no field 'frame'.*Did you mean 'frames'",
    ),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), r"model\.safetensors: cannot be read"),
    "weights empty": (content(WEIGHTS, lambda b: b""), r"model\.safetensors: "),
    "weights cut": (content(WEIGHTS, lambda b: b[:-8]), r"model\.safetensors: truncated"),
    "weights junk": (content(WEIGHTS, lambda b: b"x" * 99), r"model\.safetensors: damaged"),
    "leaf missing": (leaves(towers__video__class_embed=None), "class_embed is missing"),
    "scale missing": (leaves(logit_scale__depth=None), "logit_scale/depth is missing"),
    "leaf unexpected": (leaves(text__extra=VECTOR), "text/extra is unexpected"),
    "leaf of another shape": (
        leaves(towers__video__class_embed=VECTOR),
        r"towers/video/class_embed is \[3\], expected \[",
    ),
}


def test_no_folder_is_no_hub_name_either(tmp_path):
    with pytest.raises(errors.ConfigError, match="no such file or folder, and not a hub name"):
        api.load(tmp_path / "no")


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_in_one_line(copy, name):
    damage, message = DAMAGES[name]
    damage(copy)
    with pytest.raises(errors.CheckpointError, match=message) as caught:
        api.load(copy)
    assert "\n" not in str(caught.value)


def test_a_model_says_what_it_is(model, folder):
    assert repr(model) == (
        f"Model({str(folder)!r}: {', '.join(model.modalities)}, text; "
        f"width {model.config.text.embed_dim}, float32)"
    )


def test_the_package_lists_its_public_names():
    assert {"load", "preprocess", "tokenize", "LbJaxError", "__version__"} <= set(dir(lb_jax))
    assert [name for name in dir(lb_jax) if name.startswith("_") and name[1] != "_"] == []

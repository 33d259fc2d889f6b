"""VALOR's released folders in and out: every tensor again, and one line for what is wrong."""

import dataclasses
import functools
import json

import numpy as np
import pytest

import lb_jax
from lb_jax.cli import convert
from lb_jax.convert import tensors, torch_writer, valor, valor_folder, valor_options
from lb_jax.core import errors, paths
from lb_jax.inference import api
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import ValorConfig
from lb_jax.models.vision import VisionConfig

TEXT = BertConfig(64, 2, 1, 96, vocab=120, context=16, cross="va_concate")
AST = ast_config(64, 2, 1, 96, image_size=(32, 64))
CLIP = VisionConfig(
    128, 2, 2, 256, patch_size=16, image_size=(32, 32), embed_dim=0, activation="quick_gelu"
)
LARGE = ValorConfig(
    TEXT, CLIP, AST, embed_dim=8, frames=4, clips=4, temperature="logit_scale", task_prompts=True
)
BASE = dataclasses.replace(
    LARGE,
    video=SwinConfig(8, (2, 2), (2, 2), window=(8, 7, 7), patch_size=4),
    temperature="temperature",
    task_prompts=False,
)
OPTIONS = {
    "large": {"video_encoder_type": "clip_vit_large_14_336px", "use_task_prompt": True},
    "base": {"video_encoder_type": "videoswin_base_k600_22k"},
}
SIZES = {"video_resolution": 32, "audio_melbins": 32, "audio_target_length": 64, "seed": 50}
BOTH = pytest.mark.parametrize(
    ("name", "cfg"), [("large", LARGE), ("base", BASE)], ids=["clip", "swin"]
)


@functools.cache
def released(cfg):
    """Name -> tensor as a released checkpoint has them, without twins."""
    rng = np.random.default_rng(0)
    found = {
        place.name: rng.standard_normal(place.foreign_shape).astype(np.float16).astype(np.float32)
        for place in valor.places(cfg)
    }
    unused = {"multimodal_encoder.pooler.dense.weight": (64, 64)}
    if isinstance(cfg.video, VisionConfig):
        unused |= {"clip_model.token_embedding.weight": (9, 4), "contra_temp": ()}
    else:
        found |= dict(valor_folder.swin.indices(cfg.video, valor.SWIN))
    return found | {n: rng.standard_normal(s).astype(np.float32) for n, s in unused.items()}


def folder(path, cfg, options, *, prefix="", changed=None):
    """A folder as it lies on the net."""
    (path / "ckpt").mkdir(parents=True)
    (path / "log").mkdir()
    arrays = {**released(cfg), **(changed or {})}
    arrays = {prefix + name: one for name, one in arrays.items() if one is not None}
    both = {prefix + a: prefix + b for a, b in valor_folder.usual_twins(cfg).items()}
    both = {a: b for a, b in both.items() if a not in arrays}
    torch_writer.write(path / "ckpt" / "model_step_200.pt", arrays.items(), both)
    if options is not None:
        (path / "log" / "hps.json").write_text(json.dumps({**SIZES, **options}))
    return path


def content(path):
    found = tensors.state_dict(tensors.open_tensors(path))
    return {name: tensor.read() for name, tensor in found.items()}


@BOTH
def test_options_and_tensors_tell_the_model(tmp_path, name, cfg):
    found = valor_folder.open_valor(folder(tmp_path / "v", cfg, OPTIONS[name]))
    assert found.config == cfg
    mean = "clip" if name == "large" else "imagenet"
    assert found.preprocess["video"] == {"size": 32, "statistics": mean}
    assert found.preprocess["audio"]["mel_bins"] == 32


@BOTH
def test_a_round_trip_gives_every_tensor_bit_for_bit(tmp_path, name, cfg):
    source = folder(tmp_path / "v", cfg, OPTIONS[name])
    first = valor_folder.open_valor(source)
    valor_folder.save(tmp_path / "ours", cfg, first.params(None), source=first)
    again = valor_folder.open_valor(tmp_path / "ours")
    assert (again.config, again.digest) == (first.config, first.digest)
    for weights in (first, again):
        out = tmp_path / f"out-{weights is first}"
        valor_folder.write_released(weights, out)
        before = content(source / "ckpt" / "model_step_200.pt")
        after = content(out / "ckpt" / "model_step_0.pt")
        assert before.keys() == after.keys()
        for key, array in before.items():
            assert array.dtype == after[key].dtype
            np.testing.assert_array_equal(array, after[key], err_msg=key)
        assert json.loads((out / "log" / "hps.json").read_text()) == {**SIZES, **OPTIONS[name]}


@pytest.mark.parametrize("to", valor_folder.FORMATS)
def test_a_model_is_converted_with_its_vocabulary_or_not_at_all(tmp_path, to, monkeypatch):
    def no_room(*paths):
        raise OSError(28, "no room")

    source = folder(tmp_path / "v", LARGE, OPTIONS["large"])
    (source / "vocab.txt").write_text("[PAD]\n")
    monkeypatch.setattr(valor_folder.shutil, "copyfile", no_room)
    with pytest.raises(errors.CheckpointError, match=r"out: cannot be written \(no room\)"):
        valor_folder.convert(source, tmp_path / "out", to)
    assert [one.name for one in tmp_path.iterdir()] == ["v"]


def test_wrapped_names_are_the_same_model(tmp_path):
    plain = folder(tmp_path / "a", LARGE, OPTIONS["large"])
    wrapped = folder(tmp_path / "b", LARGE, OPTIONS["large"], prefix="module.")
    assert valor_folder.open_valor(plain).digest == valor_folder.open_valor(wrapped).digest


def test_a_trained_model_without_source_is_written_as_released(tmp_path):
    rng = np.random.default_rng(1)
    cfg = dataclasses.replace(LARGE, text=dataclasses.replace(TEXT, heads=4))  # no published size
    shapes = valor.leaf_shapes(cfg)
    params = paths.unflatten(
        {path: rng.standard_normal(shape).astype(np.float32) for path, shape in shapes.items()}
    )
    valor_folder.save(tmp_path / "ours", cfg, params, preprocess={"audio": {"mean": 1.0}})
    ours = valor_folder.open_valor(tmp_path / "ours")
    valor_folder.write_released(ours, tmp_path / "out")
    back = valor_folder.open_valor(tmp_path / "out")
    assert back.config == cfg
    flat = paths.flatten(back.params())
    for path, leaf in paths.flatten(params).items():
        np.testing.assert_array_equal(flat[path], leaf)


def test_the_command_writes_and_verifies(tmp_path, capsys):
    source = folder(tmp_path / "v", LARGE, OPTIONS["large"])
    convert.main([str(source), str(tmp_path / "ours"), "--to=safetensors", "--verify"])
    told = capsys.readouterr().out
    assert "VALOR, video, audio and text, as safetensors" in told
    for name in ("text", "video", "audio", "captions"):
        assert f"{name}: differ by at most 0.0e+00" in told
    convert.main([str(tmp_path / "ours"), str(tmp_path / "out"), "--to=hf"])
    assert valor_folder.open_valor(tmp_path / "out").config == LARGE


@pytest.mark.parametrize(
    ("out", "options", "told"),
    [
        ("new", ["--to=clip"], "which --to=clip has no place for; choose safetensors or hf"),
        ("new", ["--to=hf", "--only=audio"], "leave out --only"),
        (".", ["--to=hf"], "the weights are read from it"),
        ("other", ["--to=hf"], "holds no VALOR model but something else"),
    ],
)
def test_what_the_command_cannot_do_is_told(tmp_path, out, options, told):
    source = folder(tmp_path / "v", LARGE, OPTIONS["large"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(errors.LbJaxError, match=told):
        convert.main([str(source), str(tmp_path / out), *options])
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "other" / "mine.txt").exists()


def test_what_takes_an_encoder_says_what_opens_a_valor_model(tmp_path):
    source = folder(tmp_path / "v", LARGE, OPTIONS["large"])
    with pytest.raises(errors.ConfigError, match=r"a VALOR model, .*; open it with lb_jax\.load"):
        api.load(source)
    with pytest.raises(errors.CheckpointError, match=r"no vocab\.txt"):
        lb_jax.load(source)


def test_torch_opens_what_was_written(tmp_path):
    torch = pytest.importorskip("torch")
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.float32(2.5)}
    arrays["c"] = np.arange(2)
    torch_writer.write(tmp_path / "x.pt", arrays.items(), {"d": "a"})
    found = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(found) == ["a", "b", "c", "d"]
    for name, array in {**arrays, "d": arrays["a"]}.items():
        np.testing.assert_array_equal(found[name].numpy(), array)
    assert found["a"].data_ptr() == found["d"].data_ptr()


@pytest.mark.parametrize(
    ("options", "changed", "told"),
    [
        (None, {}, r"no log/hps.json, the options of the run"),
        (
            OPTIONS["large"],
            {"contra_head_t.linear.weight": None, "contra_head_s.linear.weight": np.zeros((2, 2))},
            "no weights of VALOR: has no contra_head_t.linear.weight",
        ),
        (
            OPTIONS["large"],
            {"txt_encoder.embeddings.LayerNorm.weight": np.ones(64, np.float32)},
            "1 tensor that the model shares differ",
        ),
        ({**OPTIONS["large"], "cross_attn_type": "merge"}, {}, "cross_attn_type is 'merge'"),
        ({**OPTIONS["large"], "video_resolution": 64}, {}, "video_resolution is 64, 4 patches"),
        (OPTIONS["base"], {}, "no video_encoder.patch_embed.proj.weight"),
        (
            {**OPTIONS["large"], "share_txt_and_multimodal": False},
            {},
            "share_txt_and_multimodal is False, expected true",
        ),
        (OPTIONS["large"], {"cls.dense.bias": None}, "cls.dense.bias is missing"),
        (OPTIONS["large"], {"itm_head.weight": np.zeros(3, np.float32)}, "itm_head.weight has no"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, options, changed, told):
    path = folder(tmp_path / "v", LARGE, options, changed=changed)
    with pytest.raises(errors.CheckpointError, match=told) as caught:
        valor_folder.open_valor(path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_weights_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(errors.CheckpointError, match="no weights; expected ckpt/model_step_N"):
        valor_folder.open_valor(tmp_path)


@pytest.mark.parametrize(
    "opened", [valor_folder.open_valor, lb_jax.load], ids=["as VALOR", "as whatever it is"]
)
def test_a_work_directory_without_a_checkpoint_is_told_as_such(tmp_path, opened):
    settings = '{"arch": "tiny", "steps": 9, "trainable": [[".*", true]]}'
    (tmp_path / "config.json").write_text(settings)
    with pytest.raises(
        errors.CheckpointError, match="work directory of a run that has written no checkpoint yet"
    ) as caught:
        opened(tmp_path)
    assert f"--workdir={tmp_path}" in str(caught.value)


def test_towers_of_languagebind_have_no_released_names(tmp_path):
    cfg = dataclasses.replace(LARGE, video=dataclasses.replace(CLIP, frames=2, temporal=True))
    with pytest.raises(errors.CheckpointError, match="the format has no name for video/blocks/te"):
        valor.places(cfg)


def test_published_options_need_no_field_of_ours():
    shapes = {place.name: place.foreign_shape for place in valor.places(LARGE)}
    options = valor_options.to_options(dataclasses.replace(LARGE), shapes)
    assert valor_options.OURS not in options

"""Bad weights end in one LbJaxError that says what was found; nothing of theirs is run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import lb_jax
from lb_jax.cli import main
from lb_jax.convert import lazy, open_clip, source, weights, write
from lb_jax.core import errors
from tests.convert import small, torch_files
from tests.convert.torch_files import Call, Global
from tests.media import media_files

ENCODER = "vision_model.encoder.layers"
WRAPPED = "vision_model.encoder.base_model.model.layers"
QUERY = f"{ENCODER}.1.self_attn.q_proj.weight"
FACTOR = f"{WRAPPED}.1.self_attn.q_proj.lora_A.default.weight"
OPEN_CLIP = "open_clip_model.safetensors"


def tensors(changed, name="model.safetensors"):
    """Spoils the weights: `changed` gets name -> tensor."""
    return lambda folder: small.rewrite(folder, changed, name)


def config(section=None, /, **values):
    """Spoils the `config.json`."""
    return lambda folder: small.change(folder, section, **values)


def vision(**values):
    return config("vision_config", **values)


def open_clip_config(**values):
    """Spoils the `open_clip_config.json`."""

    def spoil(folder):
        path = folder / "open_clip_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return spoil


def vision_cfg(**values):
    cfg = open_clip.to_config(small.VISION, small.TEXT)["model_cfg"]
    return open_clip_config(model_cfg={**cfg, "vision_cfg": {**cfg["vision_cfg"], **values}})


def text(name, content):
    """Writes a file."""
    return lambda folder: (folder / name).write_text(content)


def without(*names):
    """Removes files."""

    def spoil(folder):
        for name in names:
            (folder / name).unlink()

    return spoil


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def renamed(old, new):
    return tensors(lambda found: found.update({new: found.pop(old)}))


def replaced(name, value, file="model.safetensors"):
    return tensors(lambda found: found.update({name: value}), file)


def several(*spoils):
    def spoil(folder):
        for one in spoils:
            one(folder)

    return spoil


def removed(ending):
    def changed(found):
        for name in [name for name in found if name.endswith(ending)]:
            del found[name]

    return tensors(changed)


def as_pickle(value, name="pytorch_model.bin"):
    """Puts a torch file in the place of the weights."""

    def spoil(folder):
        (folder / "model.safetensors").unlink()
        torch_files.write(folder / name, torch_files.dumps(value), {})

    return spoil


# name: (kind of folder, what is done to it, what the error must say)
MISTAKES = {
    "truncated file": ("clip", cut, r"model\.safetensors: truncated: expected \d+ bytes, found"),
    "half a header": (
        "clip",
        lambda folder: (folder / "model.safetensors").write_bytes(b"\xff\0\0\0\0\0\0\0{"),
        r"model\.safetensors: truncated",
    ),
    "wrong shape": (
        "clip",
        replaced(QUERY, np.zeros((16, 17), np.float32)),
        rf"{re.escape(QUERY)} is \[16, 17\], expected \[16, 16\]",
    ),
    "matrix where a vector is due": (
        "clip",
        replaced("logit_scale", np.zeros((1, 1), np.float32)),
        r"logit_scale is \[1, 1\], expected \[\]",
    ),
    "missing tensor": (
        "clip",
        tensors(lambda found: found.pop("visual_projection.weight")),
        r"visual_projection\.weight is missing[^(]*Use the config",
    ),
    "missing in every layer": (
        "clip",
        removed("mlp.fc1.bias"),
        r"text_model\.encoder\.layers\.\{0-1\}\.mlp\.fc1\.bias is missing; "
        r"vision_model\.encoder\.layers\.\{0-1\}\.mlp\.fc1\.bias is missing",
    ),
    "misspelt tensor": (
        "clip",
        renamed("vision_model.post_layernorm.bias", "vision_model.post_layrnorm.bias"),
        r"post_layernorm\.bias is missing \(nearest: vision_model\.post_layrnorm\.bias\); "
        r"vision_model\.post_layrnorm\.bias has no place in the model \(nearest: vis.*post_layern",
    ),
    "extra tensor": (
        "clip",
        replaced("vision_model.extra.weight", np.zeros(3, np.float32)),
        r"vision_model\.extra\.weight has no place in the model",
    ),
    "whole numbers as weights": (
        "clip",
        replaced(QUERY, np.zeros((16, 16), np.int8)),
        rf"{re.escape(QUERY)} is int8, expected floating point",
    ),
    "several problems": (
        "clip",
        several(
            removed("layer_norm1.bias"),
            replaced("logit_scale", np.zeros(2, np.float32)),
            replaced("stray", np.zeros(2, np.float32)),
        ),
        r"layers\.\{0-1\}\.layer_norm1\.bias is missing.*stray has no place.*logit_scale is \[2\]",
    ),
    "other width": (
        "clip",
        vision(hidden_size=32),
        r"layers\.\{0-1\}\.self_attn\.q_proj\.weight is \[16, 16\], expected \[32, 32\]",
    ),
    "more layers": (
        "clip",
        vision(num_hidden_layers=4),
        r"vision_model\.encoder\.layers\.\{2-3\}\.mlp\.fc1\.weight is missing",
    ),
    "fewer layers": (
        "clip",
        config("text_config", num_hidden_layers=1),
        r"text_model\.encoder\.layers\.1\.mlp\.fc1\.weight has no place",
    ),
    "endless layers": ("clip", vision(num_hidden_layers=10**9), r"a whole number from 1 to 1000"),
    "other projection": (
        "clip",
        config(projection_dim=4),
        r"text_projection\.weight is \[8, 12\], expected \[4, 12\]",
    ),
    "other image size": (
        "clip",
        vision(image_size=64),
        r"position_embedding\.weight is \[10, 16\], expected \[65, 16\]",
    ),
    "heads that do not divide": (
        "clip",
        vision(num_attention_heads=3),
        r"clip[^ ]*: a tower of width 16 does not split into 3 heads",
    ),
    "unknown activations and other epsilon": (
        "clip",
        several(
            vision(hidden_act="relu", layer_norm_eps=1e-6), config("text_config", hidden_act=3)
        ),
        r"vision_config\.hidden_act is 'relu', expected gelu or quick_gelu; vision_config\.layer_no"
        r"rm_eps is 1e-06, expected 1e-05; text_config\.hidden_act is 3, expected gelu or",
    ),
    "sizes that are no numbers": (
        "clip",
        vision(hidden_size="16", patch_size=0, image_size=[24]),
        r"hidden_size is '16', expected a whole number.*patch_size is 0.*image_size is \[24\]",
    ),
    "section that is no object": (
        "clip",
        config(vision_config=[1]),
        r"vision_config: expected a JSON object, found list",
    ),
    "config that is no object": (
        "clip",
        text("config.json", "[]"),
        r"config\.json: expected a JSON object, found list",
    ),
    "config cut": ("clip", text("config.json", '{"model_type":'), r"config\.json: not valid JSON"),
    "unknown model type": (
        "clip",
        config(model_type="siglip"),
        r"model_type 'siglip'; expected clip or LanguageBindImage, ",
    ),
    "nothing": ("clip", without("config.json", "model.safetensors"), r"no weights.*found nothing"),
    "config without weights": (
        "clip",
        without("model.safetensors"),
        r"no weights; expected one of model\.safetensors, .*pytorch_model\.bin.*found config\.json",
    ),
    "shard missing": (
        "clip",
        several(
            without("model.safetensors"),
            text(
                "model.safetensors.index.json",
                json.dumps({"weight_map": {"logit_scale": "model-00001-of-00001.safetensors"}}),
            ),
        ),
        r"model-00001-of-00001\.safetensors: cannot be read.*Download the index",
    ),
    "text as weights": (
        "clip",
        text("model.safetensors", "a cat\n" * 99),
        r"found b'a cat\\na cat",
    ),
    "empty weights": (
        "clip",
        text("model.safetensors", ""),
        r"model\.safetensors: an empty file; expected a saf",
    ),
    "pointer as weights": (
        "clip",
        text("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"a Git LFS pointer.*git lfs pull",
    ),
    "weights of something else": (
        "clip",
        tensors(lambda found: (found.clear(), found.update(a=np.zeros(1, np.float32)))),
        r"1 tensor of no known kind \(a, …\)",
    ),
    "object in the pickle": (
        "clip",
        as_pickle({"args": Call(Global("builtins", "print"), ())}),
        r"holds builtins\.print; only tensors",
    ),
    "pickle of nothing": ("clip", as_pickle({"epoch": 1}), r"expected tensors by name.*'epoch'"),
    "LoRA rank": (
        "depth",
        vision(lora_r=4),
        r"vision_config says lora_r=4, the weights have factors of rank \[2\]",
    ),
    "LoRA in the config alone": (
        "clip",
        vision(lora_r=4, lora_alpha=16),
        r"lora_r=4, the weights have no LoRA factors",
    ),
    "LoRA in the weights alone": ("depth", vision(lora_r=0), r"lora_r=0, .*factors of rank \[2\]"),
    "LoRA without alpha": (
        "depth",
        config(model_type="clip", vision_config={**small.LORA_CONFIG, "lora_alpha": None}),
        r'add "lora_alpha" to vision_config',
    ),
    "LoRA of no rank": (
        "depth",
        tensors(lambda found: found.update({FACTOR: np.zeros((0, 16), np.float32)})),
        rf"{re.escape(FACTOR)} is \[0, 16\]; a LoRA factor is a matrix",
    ),
    "LoRA factor missing": (
        "depth",
        tensors(lambda found: found.pop(FACTOR)),
        rf"{re.escape(FACTOR)} is missing",
    ),
    "LoRA on the text": (
        "depth",
        renamed(FACTOR, "text_model.encoder.layers.1.self_attn.q_proj.lora_A.default.weight"),
        r"text_model\.encoder.*: LoRA factors are expected on .*merge_and_unload",
    ),
    "video without time": (
        "video",
        vision(add_time_attn=False),
        r"video[^ ]*: lora\.targets of video .*matches no layer",
    ),
    "other number of frames": (
        "video",
        vision(num_frames=4),
        r"layers\.\{0-1\}\.temporal_embedding is \[1, 2, 16\], expected \[1, 4, 16\]",
    ),
    "frames that do not split": (
        "video",
        vision(clip_type="vl_new", tube_size=3),
        r"video[^ ]*: 2 frames do not split into tubes of 3",
    ),
    "time fields that are no numbers": (
        "video",
        vision(num_frames="2", lora_alpha="x", add_time_attn="yes"),
        r"add_time_attn is 'yes', .*num_frames is '2', .*lora_alpha is 'x', ",
    ),
    "OpenCLIP without an embedding size": (
        "open_clip",
        text("open_clip_config.json", json.dumps({"vision_cfg": {}, "text_cfg": {}})),
        r"model_cfg has no 'embed_dim'",
    ),
    "OpenCLIP tower of another family": (
        "open_clip",
        vision_cfg(timm_model_name="vit_x"),
        r"vision_cfg: timm_model_name is 'vit_x'; the towers follow",
    ),
    "OpenCLIP ResNet": (
        "open_clip",
        vision_cfg(layers=[3, 4, 6, 3], head_width=0),
        r"head_width is 0, .*vision_cfg\.layers is \[3, 4, 6, 3\], expected a whole number",
    ),
    "OpenCLIP on squashed images": (
        "open_clip",
        open_clip_config(preprocess_cfg={"mode": "RGB", "resize_mode": "squash"}),
        r"asks for resize_mode='squash' \(done here: 'shortest'\), so images would not get",
    ),
    "OpenCLIP of another width": (
        "open_clip",
        vision_cfg(width=32, head_width=16),
        r"resblocks\.\{0-1\}\.attn\.in_proj_weight is \[48, 16\], expected \[96, 32\]",
    ),
    "OpenCLIP of no published size without config": (
        "open_clip",
        without("open_clip_config.json"),
        r"without open_clip_config\.json, of no published size; put the config beside them",
    ),
}


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of a kind."""

    def made(kind, name=None):
        path = tmp_path / (name or kind)
        if kind == "clip":
            return small.clip_folder(path)
        if kind == "open_clip":
            return small.open_clip_folder(path)
        return small.languagebind_folder(path, kind, small.VIDEO if kind == "video" else small.LORA)

    return made


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_error(folder, name):
    kind, spoil, message = MISTAKES[name]
    path = folder(kind)
    spoil(path)
    with pytest.raises(errors.CheckpointError, match=message) as caught:
        weights.open_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["clip", "depth", "video", "open_clip"])
def test_folder_without_a_mistake_is_opened(folder, kind):
    found = weights.open_weights(folder(kind))
    assert list(found.config.towers) == [kind if kind in ("depth", "video") else "image"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_tensor_that_is_not_finite_is_named_when_read(folder, value, dtype):
    path, bad = folder("clip"), np.zeros((16, 16), dtype)
    bad[3, 5] = value
    replaced(QUERY, bad)(path)
    opened = weights.open_weights(path)  # reads no tensor
    opened.part("text")
    with pytest.raises(errors.CheckpointError, match=rf"{re.escape(QUERY)} holds 1 value not"):
        opened.part("towers/image")


def test_pickle_that_runs_code_runs_nothing(folder, tmp_path):
    path, marker = folder("clip"), tmp_path / "marker"
    for name in ("os.system", "posix.system", "builtins.exec", "builtins.eval", "builtins.open"):
        module, function = name.rsplit(".", 1)
        code = {"exec": f"open({str(marker)!r}, 'w')", "eval": f"open({str(marker)!r}, 'w')"}
        args = (code.get(function, f"touch {shlex.quote(str(marker))}"),)
        if function == "open":
            args = (str(marker), "w")
        torch_files.write(
            path / "pytorch_model.bin",
            torch_files.dumps({"state_dict": Call(Global(module, function), args)}),
            {},
        )
        (path / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(errors.CheckpointError, match=rf"holds {re.escape(name)}; .*nothing in"):
            lb_jax.load(path)
        assert not marker.exists()


def test_weights_of_another_modality(folder):
    with pytest.raises(errors.ConfigError, match=r"weights for video, asked for as audio; give"):
        weights.open_weights({"audio": folder("video")})


def test_unknown_modality(folder):
    with pytest.raises(errors.ConfigError, match=r"unknown modality 'dept'.*Did you mean 'depth'"):
        weights.open_weights({"dept": folder("clip")})
    with pytest.raises(errors.ConfigError, match=r"unknown modality 'text'"):
        weights.open_weights({"text": folder("clip")})


def test_text_towers_that_differ_name_both_modalities(folder):
    depth, thermal = folder("depth"), folder("thermal")
    name = "text_model.encoder.layers.1.mlp.fc2.bias"
    tensors(lambda found: found[name].__iadd__(1))(thermal)
    with pytest.raises(
        errors.ConfigError,
        match=rf"of depth \(.*\) and thermal \(.*\) differ \({re.escape(name)} has other values\)",
    ):
        weights.open_weights({"depth": depth, "thermal": thermal})


def test_text_towers_of_other_sizes_name_both_modalities(folder):
    clip = folder("clip")
    config("text_config", hidden_act="quick_gelu")(clip)
    with pytest.raises(errors.ConfigError, match=r"of image .* and depth .* differ \(sizes\)"):
        weights.open_weights({"image": clip, "depth": folder("depth")})


def test_checkpoint_of_ours_in_a_mapping(folder, tmp_path):
    write.write(weights.open_weights(folder("clip")), tmp_path / "ours", "safetensors")
    with pytest.raises(
        errors.ConfigError, match=r"ours: a checkpoint of this package.*give it alo"
    ):
        weights.open_weights({"image": tmp_path / "ours"})


def test_damaged_orbax_file_is_told_when_read(folder, tmp_path):
    write.write(weights.open_weights(folder("clip")), tmp_path / "ours", "orbax")
    content = max((tmp_path / "ours").rglob("*"), key=lambda path: path.stat().st_size)
    content.write_bytes(content.read_bytes()[: content.stat().st_size // 2])
    with pytest.raises(errors.CheckpointError, match=r"ours/params: damaged: Orbax cannot read it"):
        weights.open_weights(tmp_path / "ours").part("base")


def test_file_in_the_place_of_the_folder_to_write_stays(folder, tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(errors.CheckpointError, match="notes: is a file; give a folder"):
        write.write(weights.open_weights(folder("clip")), tmp_path / "notes", "hf")
    assert (tmp_path / "notes").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "notes"]


@pytest.mark.parametrize("to", ["hf", "clip", "open_clip"])
def test_folders_by_modality_are_named(folder, tmp_path, to):
    several = {"image": folder("clip"), "depth": folder("clip", "again")}
    write.write(weights.open_weights(several), tmp_path / "out", to)
    with pytest.raises(errors.CheckpointError) as told:
        weights.open_weights(tmp_path / "out")
    hint = f'{{"image": "{tmp_path}/out/image", "depth": "{tmp_path}/out/depth"}}'
    given = f"image={tmp_path}/out/image depth={tmp_path}/out/depth"
    hint = f"found depth, image. Each has its own: load {hint}, or convert {given}."
    assert str(told.value).endswith(hint)


def test_exported_programs_are_no_model(folder, tmp_path):
    write.write(weights.open_weights(folder("clip")), tmp_path / "out", "stablehlo")
    with pytest.raises(errors.CheckpointError, match="not a model to load; load what"):
        weights.open_weights(tmp_path / "out")


def test_mapping_of_nothing():
    with pytest.raises(errors.ConfigError, match="no weights: give a mapping"):
        weights.open_weights({})


@pytest.mark.parametrize(
    "name",
    ["LanguageBind/No_Such", "no/such/folder", "a--b/c", "../no", "~nobody_here/x", "a" * 999],
)
def test_name_that_is_nowhere(name):
    with pytest.raises(errors.ConfigError, match=r"no such (file or )?folder"):
        weights.open_weights(name)


def published(name, **extra):
    """Shapes of a published OpenCLIP model, without its numbers."""
    towers = open_clip.towers(open_clip.model_cfg(name), name)
    shapes = source.rules.places(open_clip.RULES, source.leaf_shapes("image", *towers))
    lazy = source.LazyTensor
    found = {place.name: lazy(place.foreign_shape, np.dtype("f4"), None) for place in shapes}
    return found | {key: lazy((), np.dtype("i8"), None) for key in extra}


def test_open_clip_without_config_names_the_candidates(tmp_path):
    with pytest.raises(
        errors.CheckpointError, match=r"config='ViT-B-32' or 'ViT-B-32-quickgelu'\.$"
    ):
        source.recognise(tmp_path, published("ViT-B-32"), None, {})


def test_weights_of_openai_are_told_by_their_markers(tmp_path):
    found = published("ViT-L-14", **dict.fromkeys(open_clip.OPENAI))
    with pytest.raises(errors.CheckpointError, match=r"-quickgelu'\. These are OpenAI's: the latt"):
        source.recognise(tmp_path, found, None, {})
    content = {"open_clip_config.json": {"model_cfg": open_clip.model_cfg("ViT-L-14-quickgelu")}}
    assert set(source.recognise(tmp_path, found, None, content).ignored) == set(open_clip.OPENAI)


def test_config_of_an_unknown_open_clip_model(folder):
    with pytest.raises(errors.ConfigError, match=r"'ViT-B-23'.*Did you mean 'ViT-B-"):
        weights.open_weights(folder("open_clip"), config="ViT-B-23")


def test_training_checkpoint_needs_its_modality_or_config(folder, tmp_path):
    path = folder("depth")
    (path / "config.json").unlink()
    file = (path / "model.safetensors").rename(tmp_path / "epoch_1.pt")
    with pytest.raises(errors.CheckpointError, match=r"does not say its modality; load it as"):
        weights.open_weights(file)
    with pytest.raises(errors.CheckpointError, match=r"width 16, .* are of no published base"):
        weights.open_weights({"depth": file})


@pytest.mark.parametrize("name", ["patch_embedding", "position_embedding"])
def test_training_checkpoint_with_tables_of_other_dimensions(folder, tmp_path, name):
    path = folder("depth")
    (path / "config.json").unlink()
    part = "vision_model" if name == "patch_embedding" else "text_model"
    replaced(f"{part}.embeddings.{name}.weight", np.zeros((), np.float32))(path)
    with pytest.raises(errors.CheckpointError, match="have not the dimensions of a LanguageBind"):
        weights.open_weights({"depth": path})


# Of the sizes of ViT-B/32, as `config.json` would say.
EMBEDDINGS = {
    "vision_model.embeddings.class_embedding": (768,),
    "vision_model.embeddings.patch_embedding.weight": (768, 3, 32, 32),
    "vision_model.embeddings.position_embedding.weight": (50, 768),
    "text_model.embeddings.token_embedding.weight": (49408, 512),
    "text_model.embeddings.position_embedding.weight": (77, 512),
    "visual_projection.weight": (512, 768),
}


@pytest.mark.parametrize(
    ("modality", "changes", "message"),
    [
        ("depth", {}, r"vision_model\.encoder\.layers\.\{0-11\}\.mlp\.fc1\.weight is missing"),
        (None, {}, "does not say its modality"),
        ("audio", {}, "a position table of 50 rows is of no published spectrogram"),
        (
            "video",
            {"vision_model.encoder.layers.0.temporal_embedding": (8,)},
            "have not the dimensions of a LanguageBind model",
        ),
        (
            "video",
            {
                "vision_model.embeddings.patch_embedding.weight": (768, 3, 2, 32, 32),
                "vision_model.embeddings.class_embedding": (),
            },
            "have not the dimensions of a LanguageBind model",
        ),
        ("audio", {"vision_model.embeddings.position_embedding.weight": ()}, "not the dimensions"),
    ],
)
def test_training_checkpoint_without_layers_is_told_of_them(modality, changes, message):
    found = {
        name: lazy.LazyTensor(shape, np.dtype("f2"), None)
        for name, shape in (EMBEDDINGS | changes).items()
    }
    with pytest.raises(errors.CheckpointError, match=message):
        source.recognise(Path("epoch_1.pt"), found, modality, {})


ADAPTER = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none", "fan_in_fan_out": False}
ADAPTERS = {
    "no base": ({}, r"has no base_model_name_or_path; add the folder"),
    "another kind": ({"peft_type": "IA3"}, r"peft_type is 'IA3'; expected LORA"),
    "options of the wrong kind": (
        {"use_rslora": 1, "bias": "some", "rank_pattern": [4]},
        r"use_rslora is 1, expected true or false; bias is 'some', .*rank_pattern is \[4\]",
    ),
    "no rank": ({"r": None}, r"r is None, expected a whole number"),
    "another scale": (
        {"use_qalora": True, "use_dora": True},
        r"use_qalora is True; use_dora is True; .*merge_and_unload",
    ),
    "an option we do not know": (
        {"use_new_thing": 2},
        r"use_new_thing is 2; the towers have plain",
    ),
    "changed base": (
        {"init_lora_weights": "pissa_niter_4"},
        r"init_lora_weights is 'pissa_niter_4",
    ),
    "base nowhere": ({"base_model_name_or_path": "a/b"}, r"a/b: no such folder here, not in the"),
    "no factors": ({"base_model_name_or_path": "{clip}"}, r"no adapter_model\.safetensors beside"),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_that_cannot_be_followed(folder, tmp_path, name):
    changes, message = ADAPTERS[name]
    content = json.dumps({**ADAPTER, **changes}).replace("{clip}", str(folder("clip")))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(content)
    with pytest.raises(errors.LbJaxError, match=message):
        weights.open_weights(tmp_path / "adapter")


# A limit on the size of files is what a full disk looks like to a process that has no disk to fill.
FULL = """
import resource, signal, sys
from pathlib import Path
from lb_jax.convert import weights, write
from lb_jax.core import errors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
opened = weights.open_weights(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for to in ("safetensors", "hf", "orbax"):
    try:
        write.write(opened, Path(sys.argv[2]), to)
    except errors.CheckpointError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of a process")
def test_full_disk_leaves_the_old_files(folder, tmp_path):
    opened, out = weights.open_weights(folder("clip")), tmp_path / "out"
    write.write(opened, out, "safetensors")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "clip", out],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(
        r"(.*/out: cannot be written \(File too large\); what was .*\n){3}", done.stdout
    )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "out"]


def test_tensor_that_is_not_finite_leaves_the_old_files(folder, tmp_path):
    path, out = folder("clip"), tmp_path / "out"
    write.write(weights.open_weights(path), out, "safetensors")
    before = (out / "model.safetensors").read_bytes()
    replaced("visual_projection.weight", np.full((8, 16), np.nan, np.float32))(path)
    with pytest.raises(errors.CheckpointError, match=r"visual_projection\.weight holds 128 values"):
        write.write(weights.open_weights(path), out, "safetensors")
    assert (out / "model.safetensors").read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["clip", "out"]


CONVERT, EMBED = "convert {clip} {tmp}/out --to=hf", "embed --model={clip} -o {tmp}/out.npz "
LINES = {
    "truncated": (cut, CONVERT, "truncated"),
    "truncated, embedded": (cut, f"{EMBED} --modality=text hi", "truncated"),
    "several problems": (
        several(removed("fc1.bias"), replaced("stray", np.zeros(2, np.float32))),
        CONVERT,
        r"layers\.\{0-1\}.*stray has no place",
    ),
    "NaN": (replaced(QUERY, np.full((16, 16), np.nan, np.float32)), CONVERT, r"q_proj.*not finite"),
    "NaN, embedded": (
        replaced(QUERY, np.full((16, 16), np.nan, np.float32)),
        f"{EMBED} --modality=image {{tmp}}/a.png",
        r"q_proj.*not finite",
    ),
    "code in the pickle": (
        as_pickle(Call(Global("os", "system"), ("exit",))),
        f"{EMBED} --modality=text hi",
        r"holds os\.system; .*nothing in the file is run",
    ),
    "unknown name": (cut, "convert Language/No {tmp}/out --to=hf", "not in the hub's cache"),
    "unknown format": (cut, "convert {clip} {tmp}/out --to=onnx", "invalid choice: 'onnx'"),
    "sources without modalities": (
        cut,
        "convert a b {tmp}/out --to=hf",
        "are written MODALITY=SRC",
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_command_ends_with_one_line(folder, tmp_path, capfd, name):
    spoil, line, message = LINES[name]
    path = folder("clip")
    spoil(path)
    (tmp_path / "a.png").write_bytes(media_files.picture(np.zeros((30, 30, 3), np.uint8)))
    assert main.main(shlex.split(line.format(clip=path, tmp=tmp_path))) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert re.fullmatch(rf"lb-jax: .*{message}.*\n", err)
    assert not (tmp_path / "out").exists()

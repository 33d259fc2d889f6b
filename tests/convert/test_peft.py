"""What transformers and PEFT write loads here, what we write loads in them, and both agree."""

import json

import numpy as np
import pytest
import safetensors

import lb_jax
from lb_jax.convert import clip as clip_lib
from lb_jax.convert import weights, write
from lb_jax.core import errors

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytest.importorskip("safetensors.torch")

COMPILED = {}
TOLERANCE = 2e-5
CONTEXT, VOCAB = 9, 40
PROJECTIONS = r"self_attn\.(q|k|v|out)_proj"
IDS = np.random.default_rng(1).integers(1, VOCAB - 1, (3, CONTEXT))
IDS[[0, 1, 2], [4, 8, 2]] = VOCAB - 1  # the end token


def clip(*, act="quick_gelu", image_size=20, width=16, vocab=VOCAB, end=VOCAB - 1):
    """A drawn CLIP; images that no whole number of patches fills."""
    torch.manual_seed(0)
    size = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": act}
    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": end}
    config = transformers.CLIPConfig(
        text_config={
            **{"hidden_size": 12, "intermediate_size": 20, "vocab_size": vocab},
            **{"max_position_embeddings": CONTEXT, **size, **tokens},
        },
        vision_config={
            **{"hidden_size": width, "intermediate_size": 24, "image_size": image_size},
            **{"patch_size": 8, **size},
        },
        projection_dim=10,
    )
    model = transformers.CLIPModel(config).eval()
    draw(model.parameters())
    return model


def draw(parameters):
    """Values under which every part shows in the output."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(0.3 * torch.randn_like(parameter) + 0.1)


def with_lora(part, targets, **options):
    """A part of a model wrapped by PEFT, with factors that do something."""
    options = {"r": 2, "lora_alpha": 6, **options}
    wrapped = peft.get_peft_model(part, peft.LoraConfig(target_modules=targets, **options)).eval()
    draw(one for name, one in wrapped.named_parameters() if "lora_" in name)
    return wrapped


def features(output):
    """transformers 5 returns the projection as the pooled output; 4 returned it alone."""
    found = getattr(output, "pooler_output", output)
    return torch.nn.functional.normalize(found, dim=-1).numpy()


def pixels(size):
    return np.random.default_rng(2).standard_normal((3, size, size, 3)).astype(np.float32)


def load(source, **options):
    """`lb_jax.load`; models of the same shape share what is compiled."""
    model = lb_jax.load(source, batch_size=3, **options)
    model._programs = COMPILED.setdefault(model.config, model._programs)
    return model


@torch.no_grad()
def embeddings(model):
    """Unit vectors of images and of texts by transformers."""
    x = torch.tensor(pixels(model.config.vision_config.image_size)).permute(0, 3, 1, 2)
    images = features(model.get_image_features(pixel_values=x))
    return images, features(model.get_text_features(input_ids=torch.tensor(IDS)))


def assert_agree(ours, theirs, *, text=True):
    """Both give the same unit vectors for images and, unless switched off, texts."""
    images, texts = embeddings(theirs)
    x = pixels(theirs.config.vision_config.image_size)
    np.testing.assert_allclose(ours.encode("image", x), images, atol=TOLERANCE, rtol=0)
    if text:
        np.testing.assert_allclose(ours.encode("text", IDS), texts, atol=TOLERANCE, rtol=0)
    assert ours.logit_scale["image"] == pytest.approx(theirs.logit_scale.item())


@pytest.mark.parametrize(("act", "image_size"), [("gelu", 20), ("quick_gelu", 16)])
def test_clip_folder_agrees(tmp_path, act, image_size):
    theirs = clip(act=act, image_size=image_size)
    theirs.save_pretrained(tmp_path)
    assert_agree(load(tmp_path), theirs)


def test_clip_in_shards_agrees(tmp_path):
    theirs = clip()
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_agree(load(tmp_path), theirs, text=False)


def test_clip_saved_by_torch_agrees(tmp_path):
    theirs = clip()
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    assert_agree(load(tmp_path), theirs, text=False)


def test_training_checkpoint_agrees(tmp_path):
    theirs = clip()
    optimizer = torch.optim.AdamW(theirs.parameters())
    theirs.logit_scale.sum().backward()
    optimizer.step()
    theirs.config.save_pretrained(tmp_path)
    saved = {
        "epoch": 1,
        "name": "a run",
        "state_dict": {f"module.{name}": one for name, one in theirs.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "scaler": {"scale": 65536.0, "_growth_tracker": 3},
    }
    torch.save(saved, tmp_path / "epoch_1.pt")
    assert_agree(load(tmp_path / "epoch_1.pt"), theirs, text=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_the_same_numbers(tmp_path, dtype):
    theirs = clip().to(dtype)
    theirs.save_pretrained(tmp_path)
    assert_agree(load(tmp_path), theirs.float())


@pytest.mark.parametrize("merge_lora", [False, True])
@pytest.mark.parametrize("whole", [True, False], ids=["whole model", "encoder alone"])
def test_adapter_over_clip_agrees(tmp_path, whole, merge_lora):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    if whole:
        adapter = with_lora(theirs, rf"vision_model\.encoder\.layers\.\d+\.{PROJECTIONS}")
    else:
        adapter = with_lora(theirs.vision_model.encoder, rf"layers\.\d+\.{PROJECTIONS}")
        theirs.vision_model.encoder = adapter
    name_base(adapter, tmp_path)
    ours = load(tmp_path / "adapter", merge_lora=merge_lora)
    assert bool(ours.config.towers["image"].lora) != merge_lora
    assert_agree(ours, theirs, text=False)


def name_base(adapter, folder):
    """Saves an adapter beside its base, which its config names."""
    adapter.save_pretrained(folder / "adapter")
    path = folder / "adapter" / "adapter_config.json"
    content = json.loads(path.read_text()) | {"base_model_name_or_path": str(folder / "base")}
    path.write_text(json.dumps(content))


def test_adapter_on_some_projections_agrees(tmp_path):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    targets = r"vision_model\.encoder\.layers\.\d+\.self_attn\.(q|v)_proj"
    adapter = with_lora(theirs, targets, lora_dropout=0.1)
    name_base(adapter, tmp_path)
    assert_agree(load(tmp_path / "adapter"), theirs, text=False)


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (r"vision_model.*q_proj", {"use_dora": True}, r"use_dora is True; .*merge_and_unload"),
        (r".*token_embedding", {}, r"lora_embedding_A: expected lora_A and lora_B of layers"),
        (r"vision_model.*q_proj", {"init_lora_weights": "pissa"}, r"init_lora_weights is 'pissa'"),
        (r"vision_model.*q_proj", {"lora_bias": True}, r"lora_bias is True"),
    ],
)
def test_adapter_of_another_kind_is_refused(tmp_path, targets, options, message):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    name_base(with_lora(theirs, targets, **options), tmp_path)
    with pytest.raises(errors.CheckpointError, match=message):
        weights.open_weights(tmp_path / "adapter")


# What beside the sections of config.json transformers takes for them; empty is not absent.
@pytest.mark.parametrize(
    "winner",
    [
        {"hidden_act": "gelu"},
        {"hidden_act": "gelu", "hidden_size": 16, "num_attention_heads": 2},
        {},
        None,
    ],
)
def test_config_dicts_win_as_in_transformers(tmp_path, winner):
    theirs = clip(act="quick_gelu")
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["vision_config"]["hidden_act"] = "gelu_new"  # of no tower here
    config |= {"vision_config_dict": winner, "text_config_dict": None}
    if winner is None:
        config["vision_config"]["hidden_act"] = "quick_gelu"
    path.write_text(json.dumps(config))
    expected = transformers.CLIPConfig.from_pretrained(tmp_path).vision_config
    ours, _ = clip_lib.shapes_config(clip_lib.resolved(config, path), path)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    assert [ours.width, ours.depth, ours.heads, ours.mlp_dim] == [
        getattr(expected, name) for name in sizes
    ]
    assert (ours.activation, ours.patch_size) == (expected.hidden_act, expected.patch_size)
    if winner is None:
        assert_agree(load(tmp_path), theirs)


# The end token, and ids added behind it: transformers pools at the first one that its config names,
# and for 2, which old configs have, at the largest id.
@pytest.mark.parametrize("end", [49407, 2, "absent"])
def test_texts_are_pooled_where_transformers_does(tmp_path, end):
    theirs = clip(vocab=49410, end=49407 if end == "absent" else end)
    theirs.save_pretrained(tmp_path)
    if end == "absent":
        path = tmp_path / "config.json"
        config = json.loads(path.read_text())
        del config["text_config"]["eos_token_id"]
        path.write_text(json.dumps(config))
    ids = np.array([[49406, 49409, 5, 49407, 49407, 0], [49406, 7, 49407, 49408, 0, 0]])
    with torch.no_grad():
        expected = features(theirs.get_text_features(input_ids=torch.tensor(ids)))
    ours = load(tmp_path)
    np.testing.assert_allclose(ours.encode("text", ids), expected, atol=TOLERANCE, rtol=0)
    opened = weights.open_weights(tmp_path)
    write.write(opened, tmp_path / "ours", "safetensors")
    again = load(tmp_path / "ours")
    np.testing.assert_allclose(again.encode("text", ids), expected, atol=TOLERANCE, rtol=0)
    write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "hf", "hf")
    assert weights.open_weights(tmp_path / "hf").config == opened.config


# name: (what carries factors, other options of LoraConfig, whether factors are left in the tower)
ADAPTERS = {
    "some layers": (["q_proj", "v_proj"], {"layers_to_transform": [1]}, True),
    "some layers by regex": (r".*vision_model.*\.1\.self_attn\.(q|k)_proj", {}, True),
    "both towers": (["q_proj", "out_proj"], {}, True),
    "ranks and alphas": (
        r".*vision_model.*(q|v)_proj",
        {"rank_pattern": {r"layers\.0\.self_attn\.q_proj": 5}, "alpha_pattern": {"v_proj": 3}},
        True,
    ),
    "divided by the root of the rank": (r".*vision_model.*q_proj", {"use_rslora": True}, True),
    "rank of three": (r".*vision_model.*q_proj", {"r": 3, "lora_alpha": 8}, True),
    "MLP alone": (r".*vision_model.*fc[12]", {}, False),
    "attention and MLP": (r".*vision_model.*(q_proj|fc1)", {}, True),
    "projections": (["visual_projection", "text_projection"], {}, False),
    "patches": (["patch_embedding"], {}, False),
    "biases": (r".*vision_model.*q_proj", {"bias": "lora_only"}, True),
    "all biases": (r".*vision_model.*q_proj", {"bias": "all"}, True),
    "trained besides": (["q_proj"], {"modules_to_save": ["visual_projection"]}, True),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_of_any_layers_agrees(tmp_path, name):
    targets, options, keeps = ADAPTERS[name]
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    adapter = with_lora(theirs, targets, **options)
    if options.get("bias") or options.get("modules_to_save"):
        draw(one for one in adapter.parameters() if one.requires_grad)
    name_base(adapter, tmp_path)
    assert bool(weights.open_weights(tmp_path / "adapter").config.towers["image"].lora) == keeps
    ours = load(tmp_path / "adapter", merge_lora=True)  # all of the same shape
    assert_agree(ours, adapter.base_model.model)


@pytest.mark.parametrize("kind", ["CLIPVisionModel", "CLIPTextModel", "with projection"])
@pytest.mark.parametrize("old_names", [False, True])
def test_adapter_around_one_tower_agrees(tmp_path, kind, old_names):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    part = "text_model" if kind == "CLIPTextModel" else "vision_model"
    if kind == "with projection":
        alone = transformers.CLIPVisionModelWithProjection.from_pretrained(
            tmp_path / "base", projection_dim=10
        )
        adapter = with_lora(alone, ["q_proj", "v_proj"])
        theirs.vision_model = adapter.base_model.model.vision_model
    else:
        adapter = with_lora(getattr(theirs, part), ["q_proj", "v_proj"])
        setattr(theirs, part, adapter)
    name_base(adapter, tmp_path)
    if old_names:  # transformers 4 had the part's name in those of its layers
        path = tmp_path / "adapter" / "adapter_model.safetensors"
        found = safetensors.torch.load_file(path)
        inside = f"base_model.model.{part}."
        renamed = {
            f"{inside}{name.removeprefix('base_model.model.').removeprefix(f'{part}.')}": one
            for name, one in found.items()
        }
        safetensors.torch.save_file(renamed, path)
    assert_agree(load(tmp_path / "adapter"), theirs)


def test_adapter_that_may_be_of_either_tower_is_asked_about(tmp_path):
    theirs = clip(width=12)
    theirs.save_pretrained(tmp_path / "base")
    name_base(with_lora(theirs.text_model.encoder, ["q_proj"]), tmp_path)
    with pytest.raises(errors.CheckpointError, match="may be in either tower; name the class"):
        weights.open_weights(tmp_path / "adapter")


@pytest.mark.parametrize("whole", [True, False])
def test_folder_of_a_wrapped_model_agrees(tmp_path, whole):
    theirs = clip()
    theirs.config.vision_config.lora_alpha = 6
    theirs.config.save_pretrained(tmp_path)
    targets = r".*layers\.1\.self_attn\.(q|v)_proj"
    if whole:
        adapter = with_lora(theirs, rf".*vision_model{targets}")
        torch.save(adapter.state_dict(), tmp_path / "pytorch_model.bin")
    else:
        theirs.vision_model = with_lora(theirs.vision_model, targets)
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    assert_agree(load(tmp_path), theirs)


@pytest.mark.parametrize(("old_names", "merge_lora"), [(False, False), (True, False), (True, True)])
def test_folder_with_a_wrapped_encoder_agrees(tmp_path, old_names, merge_lora):
    theirs = clip(act="gelu")
    encoder = with_lora(theirs.vision_model.encoder, rf"layers\.\d+\.{PROJECTIONS}")
    theirs.vision_model.encoder = encoder
    theirs.config.vision_config.lora_r = 2
    theirs.config.vision_config.lora_alpha = 6
    theirs.config.save_pretrained(tmp_path)
    state = {
        name.replace(".base_layer.", ".") if old_names else name: one
        for name, one in theirs.state_dict().items()
    }
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert_agree(load(tmp_path, merge_lora=merge_lora), theirs, text=False)


@pytest.mark.parametrize("lora", [False, True], ids=["plain", "merged"])
def test_what_we_write_loads_in_transformers(tmp_path, lora):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    source = tmp_path / "base"
    if lora:
        targets = rf"vision_model\.encoder\.layers\.\d+\.{PROJECTIONS}"
        name_base(with_lora(theirs, targets), tmp_path)
        source = tmp_path / "adapter"
    opened = weights.open_weights(source, merge_lora=lora)
    write.write(opened, tmp_path / "ours", "safetensors")
    for one, name in ((opened, "direct"), (weights.open_weights(tmp_path / "ours"), "by ours")):
        write.write(one, tmp_path / name, "hf")
        again, info = transformers.CLIPModel.from_pretrained(
            tmp_path / name, output_loading_info=True
        )
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        for found, expected in zip(embeddings(again.eval()), embeddings(theirs), strict=True):
            np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_factors_that_we_write_load_in_peft(tmp_path):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    targets = rf"vision_model\.encoder\.layers\.\d+\.{PROJECTIONS}"
    name_base(with_lora(theirs, targets), tmp_path)
    opened = weights.open_weights(tmp_path / "adapter")
    write.write(opened, tmp_path / "ours", "safetensors")
    for one, name in ((opened, "direct"), (weights.open_weights(tmp_path / "ours"), "by ours")):
        write.write(one, tmp_path / name, "hf")
        config = transformers.CLIPConfig.from_pretrained(tmp_path / name)
        assert (config.vision_config.lora_r, config.vision_config.lora_alpha) == (2, 6)
        again = transformers.CLIPModel(config).eval()
        encoder = with_lora(again.vision_model.encoder, rf"layers\.\d+\.{PROJECTIONS}")
        again.vision_model.encoder = encoder
        stored = safetensors.torch.load_file(tmp_path / name / "model.safetensors")
        names = {one.replace(".base_layer.", "."): one for one in again.state_dict()}
        again.load_state_dict(
            {names[one.replace(".base_layer.", ".")]: stored[one] for one in stored}
        )
        for found, expected in zip(embeddings(again), embeddings(theirs), strict=True):
            np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


def test_plain_clip_comes_back_bit_for_bit(tmp_path):
    theirs = clip()
    theirs.save_pretrained(tmp_path / "base")
    write.write(weights.open_weights(tmp_path / "base"), tmp_path / "again", "hf")
    again = transformers.CLIPModel.from_pretrained(tmp_path / "again").state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again[name]), name

"""ImageBind's file: names and sizes of the released one, there and back, one tower, refusals."""

import dataclasses
import math
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

from lb_jax.convert import (
    imagebind,
    imagebind_files,
    lazy,
    open_clip,
    parts,
    resized,
    torch_reader,
    verify,
    weights,
    write,
)
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.models import adapt
from lb_jax.models import imagebind as towers
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.lora import LoraConfig
from tests.convert import imagebind_weights, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return imagebind_weights.write(tmp_path_factory.mktemp("imagebind") / "released")


def read(folder):
    file = imagebind_files.find(folder)
    return {name: one.read() for name, one in torch_reader.read_torch(file).items()}


# Of a state dict that the reference made (ImageBind spec 1.1, 2.1).
ENTRIES = {"vision": 392, "text": 295, "audio": 177, "thermal": 177, "depth": 177, "imu": 93}
PARAMETERS = {
    "vision": 632_829_440,
    "text": 354_032_641,
    "audio": 86_235_648,
    "thermal": 86_211_072,
    "depth": 21_871_872,
    "imu": 19_600_384,
}
SHAPES = {
    "modality_preprocessors.vision.cls_token": (1, 1, 1280),
    "modality_preprocessors.vision.rgbt_stem.proj.1.weight": (1280, 3, 2, 14, 14),
    "modality_preprocessors.vision.pos_embedding_helper.pos_embed": (1, 257, 1280),
    "modality_preprocessors.text.pos_embed": (1, 77, 1024),
    "modality_preprocessors.text.mask": (77, 77),
    "modality_preprocessors.text.token_embedding.weight": (49408, 1024),
    "modality_preprocessors.audio.rgbt_stem.proj.weight": (768, 1, 16, 16),
    "modality_preprocessors.thermal.rgbt_stem.norm_layer.bias": (768,),
    "modality_preprocessors.depth.depth_stem.proj.weight": (384, 1, 16, 16),
    "modality_preprocessors.imu.imu_stem.proj.weight": (512, 48),
    "modality_preprocessors.imu.imu_stem.norm_layer.weight": (512,),
    "modality_preprocessors.audio.pos_embedding_helper.pos_embed": (1, 229, 768),
    "modality_preprocessors.depth.pos_embedding_helper.pos_embed": (1, 197, 384),
    "modality_preprocessors.imu.pos_embed": (1, 251, 512),
    "modality_preprocessors.imu.cls_token": (1, 1, 512),
    "modality_trunks.vision.pre_transformer_layer.0.weight": (1280,),
    "modality_trunks.vision.blocks.31.attn.in_proj_weight": (3840, 1280),
    "modality_trunks.text.blocks.23.mlp.fc1.weight": (4096, 1024),
    "modality_trunks.audio.blocks.11.attn.bias_k": (1, 1, 768),
    "modality_trunks.imu.blocks.5.attn.bias_v": (1, 1, 512),
    "modality_trunks.depth.blocks.11.norm_2.bias": (384,),
    "modality_heads.vision.2.weight": (1024, 1280),
    "modality_heads.imu.3.weight": (1024, 512),
    "modality_heads.text.proj.0.weight": (1024,),
    "modality_heads.text.proj.1.weight": (1024, 1024),
    "modality_postprocessors.depth.1.log_logit_scale": (),
}


def full_shapes():
    cfg = towers.huge()
    every = [*imagebind.places(cfg), imagebind.mask_place(cfg)]
    return {place.name: place.foreign_shape for place in every}


def test_names_shapes_and_counts_are_the_released_ones():
    found = full_shapes()
    of_tower = {name: [n for n in found if n.split(".")[1] == name] for name in ENTRIES}
    assert {name: len(names) for name, names in of_tower.items()} == ENTRIES
    assert len(found) == 1311
    assert {name: found.get(name) for name in SHAPES} == SHAPES
    kept = {"modality_preprocessors.text.mask"}
    kept |= {n for n in found if n.endswith("log_logit_scale") and ".text." not in n}  # buffers
    counts = {
        name: sum(math.prod(found[n]) for n in names if n not in kept)
        for name, names in of_tower.items()
    }
    assert counts == PARAMETERS
    assert sum(counts.values()) == 1_200_781_057


def test_the_released_sizes_need_no_config():
    assert imagebind.config_of("file", full_shapes(), None) == towers.huge()


def test_sizes_that_shapes_do_not_tell_are_asked_for(folder, tmp_path):
    shutil.copy(folder / "imagebind.pth", tmp_path / "imagebind.pth")
    with pytest.raises(
        errors.CheckpointError, match=r"vision has width 16 and 2 blocks.*_num_heads"
    ):
        weights.open_weights(tmp_path)
    found = weights.open_weights(tmp_path, config=folder / "config.json")
    assert found.config == imagebind_weights.CFG


@pytest.mark.parametrize("to", ["safetensors", "orbax"])
def test_there_and_back_is_bitwise(folder, tmp_path, to):
    write.write(weights.open_weights(folder), tmp_path / "ours", to)
    again = weights.open_weights(tmp_path / "ours")
    assert again.config == imagebind_weights.CFG
    write.write(again, tmp_path / "theirs", "hf")
    found = read(tmp_path / "theirs")
    assert found.keys() == imagebind_weights.tensors().keys()
    for name, expected in imagebind_weights.tensors().items():
        assert (found[name].dtype, found[name].shape) == (expected.dtype, expected.shape), name
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    assert weights.open_weights(tmp_path / "theirs").digest == weights.open_weights(folder).digest


def test_types_that_differ_within_a_leaf_come_back(tmp_path):
    changed = dict(imagebind_weights.tensors())
    name = "modality_trunks.depth.blocks.1.mlp.fc1.weight"
    changed[name] = changed[name].astype(np.float16)
    first = imagebind_weights.write(tmp_path / "first", changed)
    write.write(weights.open_weights(first), tmp_path / "ours", "safetensors")
    write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "again", "hf")
    found = read(tmp_path / "again")
    assert {n: one.dtype for n, one in found.items()} == {n: x.dtype for n, x in changed.items()}


def test_a_safetensors_copy_is_the_same_model(folder, tmp_path):
    tensors = dict(imagebind_weights.tensors())
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    shutil.copy(folder / "config.json", tmp_path / "config.json")
    assert weights.open_weights(tmp_path).digest == weights.open_weights(folder).digest


def test_stills_and_clips_are_stored_once(folder, tmp_path):
    write.write(weights.open_weights(folder), tmp_path / "ours", "safetensors")
    stored = weights.stored_tensors(tmp_path / "ours")
    twice = {path for path in stored if path.startswith("towers/video/")}
    assert "base/blocks/attn/q_proj/kernel" in stored
    assert not [path for path in twice if "/blocks/" in path or "patch_embed" in path]


def test_every_modality_has_its_tower(folder):
    found = weights.open_weights(folder)
    assert tuple(found.config.towers) == ("image", "video", "audio", "depth", "thermal", "imu")
    assert found.config.family == "ImageBind"
    assert found.ignored == (imagebind.MASK,)
    scales = paths.flatten(found.part("logit_scale", np.float32))
    assert sorted(scales) == ["audio", "depth", "imu", TEXT, "thermal"]
    for name, scale in scales.items():
        expected = imagebind_weights.tensors()[f"modality_postprocessors.{name}.1.log_logit_scale"]
        np.testing.assert_array_equal(scale, expected)


def test_motion_is_read_channel_by_channel(folder):
    kernel = weights.open_weights(folder).part("towers/imu")["patch_embed"]["kernel"]
    theirs = imagebind_weights.tensors()["modality_preprocessors.imu.imu_stem.proj.weight"]
    assert kernel.shape == (1, 8, 6, imagebind_weights.WIDTH)
    np.testing.assert_array_equal(kernel[0, 3, 5], theirs[:, 5 * 8 + 3])


def test_a_tower_costs_its_own_bytes(folder, monkeypatch):
    found, count = weights.open_weights(folder), []
    plain = lazy.read_bytes
    monkeypatch.setattr(
        lazy, "read_bytes", lambda path, at, size: count.append(size) or plain(path, at, size)
    )
    for name in ("imu", "depth"):
        count.clear()
        leaves = paths.flatten(found.part(f"towers/{name}", np.float32))
        assert sum(count) == sum(leaf.nbytes for leaf in leaves.values())


MISSING = (
    "modality_preprocessors.vision.cls_token",
    "modality_preprocessors.text.mask",
    "modality_preprocessors.imu.imu_stem.norm_layer.bias",
    "modality_trunks.audio.blocks.0.norm_1.weight",
    "modality_trunks.depth.blocks.1.attn.bias_v",
    "modality_trunks.vision.pre_transformer_layer.0.bias",
    "modality_heads.thermal.2.weight",
    "modality_heads.text.proj.1.weight",
    "modality_postprocessors.audio.1.log_logit_scale",
)


@pytest.mark.parametrize("name", MISSING)
def test_a_tensor_that_is_missing_is_named(tmp_path, name):
    found = {n: one for n, one in imagebind_weights.tensors().items() if n != name}
    with pytest.raises(errors.CheckpointError, match=rf"{re.escape(name)} is missing"):
        weights.open_weights(imagebind_weights.write(tmp_path, found))


def test_strange_tensors_are_named(tmp_path):
    found = {**imagebind_weights.tensors(), "modality_heads.smell.0.weight": np.ones(3, np.float32)}
    with pytest.raises(
        errors.CheckpointError, match=r"modality_heads\.smell\.0\.weight has no place"
    ):
        weights.open_weights(imagebind_weights.write(tmp_path, found))


@pytest.mark.parametrize("name", [name for name in MISSING if "scale" not in name])
def test_tensors_of_another_shape_are_named(tmp_path, name):
    found = dict(imagebind_weights.tensors())
    found[name] = found[name][..., :-1]
    with pytest.raises(errors.CheckpointError, match=rf"{re.escape(name)} is \["):
        weights.open_weights(imagebind_weights.write(tmp_path, found))


def test_a_mask_that_is_not_causal_is_refused(tmp_path):
    found = {**imagebind_weights.tensors()}
    found[imagebind.MASK] = np.zeros_like(found[imagebind.MASK])
    with pytest.raises(errors.CheckpointError, match=r"mask is not that of causal attention"):
        weights.open_weights(imagebind_weights.write(tmp_path, found))


def test_arguments_that_contradict_the_weights_are_named(tmp_path):
    config = imagebind.to_config(imagebind_weights.CFG)
    config["arguments"] |= {"depth_num_blocks": 7, "audio_stride": "ten"}
    with pytest.raises(errors.CheckpointError, match=r"audio_stride is 'ten'"):
        weights.open_weights(imagebind_weights.write(tmp_path, config=config))
    config["arguments"]["audio_stride"] = 10
    with pytest.raises(errors.CheckpointError, match="depth_num_blocks is 7, the weights have 2"):
        weights.open_weights(imagebind_weights.write(tmp_path, config=config))


def test_towers_of_two_families_are_not_one_model(folder, tmp_path):
    other = small.clip_folder(tmp_path / "clip", small.WORDS)
    with pytest.raises(errors.ConfigError, match=r"ImageBind.*LanguageBind"):
        weights.open_weights({"image": other, "depth": folder})


def test_formats_of_other_towers_have_no_place(folder, tmp_path):
    for to in ("clip", "open_clip"):
        with pytest.raises(errors.CheckpointError, match=r"a tower of ImageBind.*--to=hf or"):
            write.write(weights.open_weights(folder), tmp_path / to, to)


@pytest.mark.parametrize("to", ["safetensors", "hf"])
def test_what_was_written_computes_the_same(folder, tmp_path, to):
    before = weights.open_weights(folder)
    write.write(before, tmp_path / to, to)
    found = verify.differences(before, tmp_path / to, to)
    assert found.keys() == {*before.config.towers, TEXT}
    assert max(found.values()) == 0


def test_some_modalities_are_written(folder, tmp_path):
    only = weights.Only(weights.open_weights(folder), ["video", "imu"])
    report = write.write(only, tmp_path / "some", "hf")
    assert "strict=False" in report.notes[0]
    again = weights.open_weights(tmp_path / "some")
    assert tuple(again.config.towers) == ("image", "video", "imu")
    assert sorted(again.part("logit_scale")) == ["imu", TEXT]


def test_stills_and_clips_that_differ_are_not_written_as_one(folder, tmp_path):
    class Tuned(weights.Only):
        def read(self, name, how):
            found = super().read(name, how)
            if name == "towers/video" and "proj" in found:
                found["proj"]["kernel"] = found["proj"]["kernel"] + 1
            return found

    tuned = Tuned(weights.open_weights(folder), ["image", "video"])
    with pytest.raises(errors.CheckpointError, match=r"proj/kernel of image and of video differ"):
        write.write(tuned, tmp_path / "some", "hf")


def test_lora_on_a_tower_with_bias_tokens_merges(folder):
    found = weights.open_weights(folder)
    lora = LoraConfig(rank=2)
    tower = dataclasses.replace(found.config.towers["depth"], lora=lora)
    config = dataclasses.replace(found.config, towers={"depth": tower})
    shapes = paths.flatten(LanguageBind(config).shapes("depth"))
    rng = np.random.default_rng(0)

    class Adapted(weights.Only):
        def __init__(self):
            super().__init__(found, ["depth"])
            self.config = config

        def read(self, name, how):
            leaves = paths.flatten(super().read(name, parts.Reading()))
            factors = {path: leaf for path, leaf in shapes.items() if "lora_" in path}
            drawn = {p: rng.standard_normal(f.shape, np.float32) for p, f in factors.items()}
            return paths.unflatten({**leaves, **(drawn if name == "towers/depth" else {})})

    assert sum(path.endswith("lora_a") for path in shapes) == 4
    adapted = Adapted()
    merged = weights.Merged(adapted).part("towers/depth")
    rng = np.random.default_rng(0)
    with_factors = adapted.part("towers/depth")
    x = verify.random_input(LanguageBind(config), "depth")
    run = lambda cfg, tower: np.asarray(  # noqa: E731
        LanguageBind(cfg).encode({"base": {}, "towers": {"depth": tower}}, "depth", x)
    )
    plain = dataclasses.replace(tower, lora=None)
    merged_cfg = dataclasses.replace(config, towers={"depth": plain})
    np.testing.assert_allclose(run(merged_cfg, merged), run(config, with_factors), atol=2e-6)


def test_a_start_from_open_clip(tmp_path):
    plain = weights.open_weights(small.open_clip_folder(tmp_path / "open_clip"))
    start = imagebind_files.OpenClipStart(plain)
    assert (start.config.family, *start.config.towers) == ("ImageBind", "image", "video")
    kernel = start.part("towers/video")["patch_embed"]["kernel"]
    theirs = small.arrays(open_clip.RULES)["visual.conv1.weight"]
    assert kernel.shape[0] == towers.TUBE
    np.testing.assert_array_equal(kernel.sum(0), theirs.transpose(2, 3, 1, 0))
    model = LanguageBind(plain.config)
    for name in ("image", TEXT):
        x = verify.random_input(model, name)
        apart = np.abs(verify.embed(start, name, x) - verify.embed(plain, name, x)).max()
        assert 0 < apart < 1e-3  # the epsilon of the norms
    with pytest.raises(errors.CheckpointError, match=r"inputs of \[24, 24\], not \[224, 224\]"):
        write.write(start, tmp_path / "start", "hf")  # whose code takes no other
    write.write(start, tmp_path / "start", "safetensors")
    again = weights.open_weights(tmp_path / "start")
    assert again.config == start.config
    assert float(again.part("logit_scale")[TEXT]) == float(plain.part("logit_scale")["image"])


def test_a_start_needs_a_plain_image_tower(folder):
    with pytest.raises(errors.ConfigError, match="plain image tower"):
        imagebind_files.OpenClipStart(weights.open_weights(folder))


def test_pictures_of_another_size(folder, tmp_path):
    before = weights.open_weights(folder)
    found = resized.Resized(before, 112)
    assert found.config.towers["video"].image_size == (112, 112)
    assert found.config.towers["depth"] == before.config.towers["depth"]
    assert found.preprocess["image"]["size"] == found.preprocess["video"]["size"] == 112
    table = found.part("towers/image")["position_embed"]
    plain = before.part("towers/image")["position_embed"]
    grids = [one.config.towers["image"].grid for one in (before, found)]
    assert grids == [(16, 16), (8, 8)]
    expected = adapt.resize_positions(plain, *grids, resized.KERNEL)
    np.testing.assert_array_equal(table, expected)
    assert found.digest != before.digest
    write.write(found, tmp_path / "small", "safetensors")
    again = weights.open_weights(tmp_path / "small")
    np.testing.assert_array_equal(parts.tower_leaf(again, "image", "position_embed"), table)
    with pytest.raises(errors.CheckpointError, match=r"inputs of \[112, 112\], not \[224, 224\]"):
        write.write(found, tmp_path / "theirs", "hf")


def test_a_size_of_as_many_patches_changes_no_number(folder):
    before = weights.open_weights(folder)
    found = resized.Resized(before, before.config.towers["image"].patch_size * 16 + 3)
    for a, b in zip(
        *(paths.flatten(w.part("towers/image")).values() for w in (before, found)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_another_size_is_for_stills_and_clips_of_imagebind(folder, tmp_path):
    plain = weights.open_weights(small.clip_folder(tmp_path / "clip"))
    with pytest.raises(
        errors.ConfigError, match="stills and clips of ImageBind; this is LanguageBind"
    ):
        resized.Resized(plain, 64)
    for wrong in (3, 0, 56.0):
        with pytest.raises(
            errors.ConfigError, match="side of a square picture, at least 14 pixels"
        ):
            resized.Resized(weights.open_weights(folder), wrong)

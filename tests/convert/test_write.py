"""What writing leaves alone, keeps exactly, and does with our own checkpoints."""

import os
import re

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

import lb_jax
from lb_jax.cli import main
from lb_jax.convert import verify, weights, write
from lb_jax.core import errors, paths
from tests.convert import small

FC1 = "vision_model.encoder.layers.1.mlp.fc1.weight"


def convert(*arguments):
    return main.main(["convert", *map(str, arguments)])


@pytest.mark.parametrize(
    "name", ["video/holiday.mp4", "params/notes.txt", "mine.safetensors", "image/a.jpg"]
)
def test_a_folder_with_other_files_stays(tmp_path, capfd, name):
    (tmp_path / "media" / name).parent.mkdir(parents=True)
    (tmp_path / "media" / name).write_text("mine")
    assert convert(small.clip_folder(tmp_path / "clip"), tmp_path / "media", "--to=hf") == 2
    assert "which writing here would delete" in capfd.readouterr().err
    assert (tmp_path / "media" / name).read_text() == "mine"


def test_what_is_read_is_not_written_over(tmp_path, capfd):
    clip = small.clip_folder(tmp_path / "all" / "clip")
    before = (clip / "model.safetensors").read_bytes()
    for out in (clip, tmp_path / "all"):
        assert convert(clip, out, "--to=safetensors", "--verify") == 2
        assert "the weights are read from" in capfd.readouterr().err
    assert (clip / "model.safetensors").read_bytes() == before
    assert convert(clip, clip / "inside", "--to=safetensors") == 0


@pytest.mark.parametrize("to", write.FORMATS)
def test_what_was_written_here_is_replaced(tmp_path, to):
    clip = small.clip_folder(tmp_path / "clip")
    for _ in range(2):
        assert convert(clip, tmp_path / "out", f"--to={to}") == 0


def test_the_folder_may_be_the_present_one_or_a_link(tmp_path, monkeypatch):
    clip = small.clip_folder(tmp_path / "clip")
    for name in ("here", "real"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert convert(clip, ".", "--to=safetensors") == 0
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert convert(clip, tmp_path / "link", "--to=safetensors") == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "model.safetensors").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "here", "link", "real"]


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("through", ["nothing", "safetensors", "orbax"])
def test_layers_of_several_types_come_back_bit_for_bit(tmp_path, kind, through):
    clip = small.clip_folder(tmp_path / "clip")
    first = FC1.replace("layers.1", "layers.0")
    small.rewrite(clip, lambda found: found.update({first: found[first].astype(kind)}))
    opened = weights.open_weights(clip)
    if through != "nothing":
        write.write(opened, tmp_path / "ours", through)
        opened = weights.open_weights(tmp_path / "ours")
    write.write(opened, tmp_path / "again", "hf")
    before, after = (
        safetensors.numpy.load_file(tmp_path / name / "model.safetensors")
        for name in ("clip", "again")
    )
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype, name
        np.testing.assert_array_equal(after[name], tensor, err_msg=name)


@pytest.mark.parametrize("changed", [np.float16, "sign of zero"])
def test_towers_share_only_what_is_the_same_bit_by_bit(tmp_path, changed):
    name = "vision_model.encoder.layers.0.mlp.fc1.bias"
    folders = {one: small.languagebind_folder(tmp_path / one, one) for one in ("depth", "thermal")}
    for one, folder in folders.items():
        zero = np.zeros(32, np.float32)
        if one == "thermal":
            zero = -zero if changed == "sign of zero" else zero.astype(changed)
        wrapped = name.replace("encoder.", "encoder.base_model.model.")
        small.rewrite(folder, lambda found, zero=zero, at=wrapped: found.update({at: zero}))
    write.write(weights.open_weights(folders), tmp_path / "ours", "safetensors")
    write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "again", "hf")
    for one, folder in folders.items():
        before, after = (
            safetensors.numpy.load_file(at / "model.safetensors")[wrapped]
            for at in (folder, tmp_path / "again" / one)
        )
        assert after.dtype == before.dtype
        assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("to", ["safetensors", "orbax"])
def test_our_own_checkpoints_merge_too(tmp_path, to):
    lora = small.languagebind_folder(tmp_path / "depth", "depth")
    write.write(weights.open_weights(lora), tmp_path / "ours", to)
    for source in (lora, tmp_path / "ours"):
        stored, merged = (weights.open_weights(source, merge_lora=merge) for merge in (False, True))
        assert merged.config.towers["depth"].lora is None
        assert not any("lora" in path for path in paths.flatten(merged.part("towers/depth")))
        assert merged.digest != stored.digest
        write.write(merged, tmp_path / "merged", "hf")
        assert verify.differences(stored, tmp_path / "merged", "hf")["depth"] < 2e-6
        written = safetensors.numpy.load_file(tmp_path / "merged" / "model.safetensors")
        assert not any("lora" in name for name in written)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_low_precision_weights_merge_in_float32(tmp_path, kind):
    folder = small.languagebind_folder(tmp_path / "depth", "depth")
    small.rewrite(folder, lambda found: found.update({n: t.astype(kind) for n, t in found.items()}))
    x = np.random.default_rng(0).standard_normal((2, 24, 24, 3), np.float32)
    plain, merged = (lb_jax.load(folder, merge_lora=merge) for merge in (False, True))
    np.testing.assert_allclose(
        merged.encode("depth", x), plain.encode("depth", x), atol=2e-6, rtol=0
    )


def test_verify_compares_with_what_was_read(tmp_path, capfd):
    folder = small.languagebind_folder(tmp_path / "depth", "depth")
    small.rewrite(
        folder, lambda found: found.update({n: t.astype(np.float16) for n, t in found.items()})
    )
    assert convert(folder, tmp_path / "out", "--to=hf", "--merge-lora", "--verify") == 0
    told = capfd.readouterr().out
    difference = float(re.search(r"depth: embeddings differ by at most (\S+)", told)[1])
    assert 0 < difference < 2e-3  # merging rounds to the half precision that is written


def test_values_of_ours_that_are_not_finite_are_told(tmp_path):
    write.write(
        weights.open_weights(small.clip_folder(tmp_path / "clip")), tmp_path / "ours", "safetensors"
    )
    small.rewrite(
        tmp_path / "ours",
        lambda found: found["base/blocks/mlp/fc1/kernel"].fill(np.nan),
    )
    opened = weights.open_weights(tmp_path / "ours")
    with pytest.raises(errors.CheckpointError, match=r"fc1/kernel holds 512 values not finite"):
        write.write(opened, tmp_path / "out", "hf")


def test_another_preset_is_another_model(tmp_path):
    folder = small.clip_folder(tmp_path)
    default, reference = (lb_jax.load(folder, preset=name) for name in ("default", "reference"))
    assert default.digest != reference.digest == lb_jax.load(folder, preset="reference").digest


@pytest.mark.parametrize(
    ("dtype", "found"), [("float33", "'float33'"), (np.int8, "int8"), (5, "5")]
)
def test_other_dtypes_are_refused(tmp_path, dtype, found):
    with pytest.raises(errors.ConfigError, match=rf"dtype is .*{found}.*float32, bfloat16"):
        lb_jax.load(small.clip_folder(tmp_path), dtype=dtype)


def test_our_own_checkpoint_takes_no_config(tmp_path):
    write.write(
        weights.open_weights(small.clip_folder(tmp_path / "clip")), tmp_path / "ours", "safetensors"
    )
    with pytest.raises(errors.ConfigError, match="has its own config"):
        lb_jax.load(tmp_path / "ours", config="ViT-B-32")


def test_the_end_token_is_the_last_of_the_vocabulary(tmp_path):
    folder = small.clip_folder(tmp_path)
    for end in (2, small.TEXT.vocab - 1):
        small.change(folder, "text_config", eos_token_id=end)
        weights.open_weights(folder)
    for end in (17, None, [2], 49407):
        small.change(folder, "text_config", eos_token_id=end)
        with pytest.raises(errors.CheckpointError, match=r"eos_token_id is .*, expected 59"):
            weights.open_weights(folder)


def test_time_attention_in_the_config_of_a_still_modality(tmp_path):
    folder = small.languagebind_folder(tmp_path, "depth")
    small.change(folder, "vision_config", add_time_attn=True)
    with pytest.raises(
        errors.CheckpointError, match="time attention or tubes, which depth has not"
    ):
        weights.open_weights(folder)


def test_model_type_that_is_no_name(tmp_path):
    folder = small.clip_folder(tmp_path)
    small.change(folder, model_type=["clip"])
    with pytest.raises(errors.CheckpointError, match=r"has model_type \['clip'\]"):
        weights.open_weights(folder)


def test_a_modality_given_twice(tmp_path, capfd):
    assert convert("depth=a", "depth=b", tmp_path / "out", "--to=hf") == 2
    assert "a modality is given twice in depth=a depth=b" in capfd.readouterr().err


def test_a_config_that_is_no_file(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"config='nosuch\.json': no such file"):
        weights.open_weights(small.open_clip_folder(tmp_path), config="nosuch.json")
    with pytest.raises(errors.ConfigError, match="Hugging Face weights, and the config given is"):
        weights.open_weights(small.clip_folder(tmp_path / "clip"), config="ViT-B-32")

"""How foreign folders say that pictures are prepared: followed, or refused by name."""

import json

import numpy as np
import pytest
from PIL import Image

import lb_jax
from lb_jax.convert import pictures, weights, write
from lb_jax.core import errors
from lb_jax.media import specs
from tests.convert import small

SIDE = small.VISION.image_size[0]
HALF = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2]}
USUAL = pictures.to_hf({}, SIDE)
STATED = USUAL | HALF


def clip_folder(folder, stated, name=pictures.PREPROCESSOR):
    small.clip_folder(folder)
    (folder / name).write_text(json.dumps(stated))
    return folder


def of_open_clip(folder, **cfg):
    small.open_clip_folder(folder)
    path = folder / "open_clip_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "preprocess_cfg": cfg}))
    return folder


def picture(rows=40, columns=60):
    """Noise under a slope, so that every step of the preparation shows."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 160, columns)[None, :, None] + rng.integers(0, 90, (rows, columns, 3))
    return Image.fromarray(slope.astype(np.uint8))


def numbers(source, modality="image"):
    opened = weights.open_weights({modality: source})
    spec = opened.preprocess[modality]
    return spec.get("mean"), spec.get("std")


def test_constants_are_those_of_the_specs():
    assert (pictures.CLIP_MEAN, pictures.CLIP_STD) == (specs.CLIP_MEAN, specs.CLIP_STD)


# What 128 becomes, by hand: (128 f - mean) / std.
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [(128 / 255 - m) / s for m, s in zip(*HALF.values(), strict=True)]),
        ({"image_mean": 0.5, "image_std": 0.25}, [(128 / 255 - 0.5) / 0.25] * 3),
        ({"do_normalize": False}, [128 / 255] * 3),
        ({"rescale_factor": 1 / 127.5, "image_mean": 1, "image_std": 1}, [128 / 127.5 - 1] * 3),
        ({"do_rescale": False, "image_mean": 100, "image_std": 50}, [(128 - 100) / 50] * 3),
        ({"do_rescale": False, "do_normalize": False}, [128] * 3),
        ({"size": SIDE, "crop_size": SIDE}, [(128 / 255 - 0.5) / 0.5, None, None]),
        ({"image_processor_type": "CLIPImageProcessorFast"}, [None, None, (128 / 255 - 0.3) / 0.2]),
    ],
)
def test_what_a_folder_states_is_done_to_pictures(tmp_path, fields, expected):
    source = clip_folder(tmp_path / "clip", {**STATED, **fields})
    for modality in ("image", "thermal"):
        model = lb_jax.load({modality: source})
        grey = model.preprocess(modality, [Image.new("RGB", (50, 50), (128,) * 3)])[0, 3, 3]
        for found, value in zip(grey, expected, strict=True):
            assert value is None or found == pytest.approx(value, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("stated", [{}, {"size": {"shortest_edge": SIDE}}, USUAL])
def test_usual_numbers_change_nothing(tmp_path, stated):
    source = clip_folder(tmp_path / "clip", stated)
    plain = weights.open_weights(small.clip_folder(tmp_path / "plain"))
    opened = weights.open_weights(source)
    assert opened.preprocess == plain.preprocess
    assert opened.digest == plain.digest  # stores of such a model stay


def test_processor_config_comes_first(tmp_path):
    source = clip_folder(tmp_path / "clip", {**STATED, "image_mean": [0.1] * 3})
    nested = {"processor_class": "CLIPProcessor", "image_processor": STATED}
    (source / pictures.PROCESSOR).write_text(json.dumps(nested))
    assert numbers(source)[0] == HALF["image_mean"]
    (source / pictures.PROCESSOR).write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert numbers(source)[0] == [0.1] * 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": {"height": SIDE, "width": SIDE}}, r"size=\{'height'.*nothing is squashed"),
        ({"size": [SIDE, SIDE]}, r"size=\[24, 24\] .*nothing is squashed"),
        ({"size": SIDE, "default_to_square": True}, r"size=24 .*nothing is squashed"),
        ({"size": {"shortest_edge": SIDE, "longest_edge": 30}}, "however long"),
        ({"size": {"shortest_edge": 30}}, r"size=\{'shortest_edge': 30\} .*the tower's 24"),
        ({"crop_size": {"height": 30, "width": 30}}, r"crop_size=.* \(the tower takes 24\)"),
        ({"do_center_crop": False}, "asks for do_center_crop=False"),
        ({"do_resize": False}, "asks for do_resize=False"),
        ({"resample": 2}, r"resample=2, bilinear \(done here: 3, bicubic\)"),
        ({"resample": 1}, "resample=1, lanczos"),
        ({"image_processor_type": "SiglipImageProcessor"}, "image_processor_type='SiglipImage"),
        ({"do_pad": True, "crop_pct": 0.9}, r"do_pad=True, crop_pct=0\.9, so images would not"),
        ({"image_mean": [0.5]}, r"image_mean is \[0\.5\], expected three numbers or one"),
        ({"image_std": [0.5, 0, 1]}, r"image_std is .*expected three numbers above 0"),
        ({"do_resize": "yes"}, "do_resize is 'yes', expected true or false"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(tmp_path, fields, message):
    source = clip_folder(tmp_path / "clip", {**STATED, **fields})
    with pytest.raises(errors.CheckpointError, match=message):
        weights.open_weights(source)
    assert weights.open_weights({"audio": source})  # which prepares sound, by its own spec


def test_frames_of_a_video_are_resized_by_the_preset(tmp_path):
    source = clip_folder(tmp_path / "clip", {**STATED, "resample": 2})
    assert numbers(source, "video") == (HALF["image_mean"], HALF["image_std"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"interpolation": "bilinear"}, r"interpolation='bilinear' \(done here: 'bicubic'\)"),
        ({"resize_mode": "longest"}, "resize_mode='longest'"),
        ({"size": [24, 32]}, r"size=\[24, 32\] \(the tower takes \[24, 24\]\)"),
        ({"mode": "L"}, "mode='L'"),
        ({"mean": [1, 2]}, r"preprocess_cfg\.mean is \[1, 2\]"),
    ],
)
@pytest.mark.parametrize("modality", ["image", "depth"])
def test_other_pictures_of_open_clip_are_refused_by_name(tmp_path, fields, message, modality):
    source = of_open_clip(tmp_path / "open", **fields)
    with pytest.raises(errors.CheckpointError, match=message):
        weights.open_weights({modality: source})


def test_open_clip_states_null_and_one_number_for_all_channels(tmp_path):
    cfg = {"size": SIDE, "mean": 0.5, "std": None, "fill_color": 7, "interpolation": "random"}
    assert numbers(of_open_clip(tmp_path / "open", **cfg)) == ([0.5] * 3, None)


@pytest.mark.parametrize("start", ["hf", "open_clip"])
@pytest.mark.parametrize("through", ["hf open_clip", "open_clip hf", "safetensors hf"])
def test_numbers_stay_through_every_format(tmp_path, start, through):
    mean, std = HALF.values()
    if start == "hf":
        source = clip_folder(tmp_path / "0", STATED)
    else:
        source = of_open_clip(tmp_path / "0", size=SIDE, mean=mean, std=std)
    for number, to in enumerate((*through.split(), "orbax"), 1):
        place = tmp_path / str(number)
        write.write(weights.open_weights(source), place, to)
        spec = weights.open_weights(place).preprocess["image"]
        assert (spec["mean"], spec["std"]) == (mean, std)
        if to == "hf":
            stated = json.loads((place / pictures.PREPROCESSOR).read_text())
            assert {name: stated[name] for name in HALF} == HALF
        if to == "open_clip":
            stated = json.loads((place / "open_clip_config.json").read_text())["preprocess_cfg"]
            assert (stated["mean"], stated["size"]) == (mean, SIDE)
        source = place


def test_numbers_that_the_original_code_does_not_read_are_not_written(tmp_path):
    source = clip_folder(tmp_path / "clip", STATED)
    write.write(weights.open_weights({"thermal": source}), tmp_path / "ours", "safetensors")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    del config["origin"]
    (tmp_path / "ours" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        errors.CheckpointError, match=r"always with CLIP's \(thermal\); choose --to=clip or "
    ):
        write.write(weights.open_weights(tmp_path / "ours"), tmp_path / "hf", "hf")


def test_transformers_prepares_a_picture_alike(tmp_path):
    clip = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    source = of_open_clip(tmp_path / "open", size=SIDE, mean=HALF["image_mean"])
    write.write(weights.open_weights(source), tmp_path / "hf", "hf")
    processor = clip.CLIPImageProcessorPil.from_pretrained(tmp_path / "hf")
    assert list(processor.image_mean) == HALF["image_mean"]
    theirs = processor(images=picture(), return_tensors="np")["pixel_values"]
    for folder in ("open", "hf"):
        ours = lb_jax.load(tmp_path / folder).preprocess("image", [picture()])
        # Pillow rounds to whole numbers after each of its two passes
        bound = 1.01 / 255 / min(specs.CLIP_STD)
        assert np.abs(ours - theirs.transpose(0, 2, 3, 1)).max() < bound

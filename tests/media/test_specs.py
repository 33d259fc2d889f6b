import dataclasses
import json

import pytest

from lb_jax.core import errors, modalities
from lb_jax.media import specs


@pytest.mark.parametrize("preset", list(specs.PRESETS))
@pytest.mark.parametrize("modality", list(specs.SPECS))
def test_a_spec_survives_json(preset, modality):
    spec = specs.preset(modality, preset)
    assert specs.from_dict(modality, json.loads(json.dumps(specs.to_dict(spec)))) == spec


def test_every_modality_has_a_spec():
    assert set(specs.SPECS) == {*modalities.MODALITIES, modalities.TEXT}


def test_reference_differs_from_default_only_where_stated():
    changed = {
        modality: {
            f.name
            for f in dataclasses.fields(cls)
            if getattr(specs.preset(modality), f.name)
            != getattr(specs.preset(modality, "reference"), f.name)
        }
        for modality, cls in specs.SPECS.items()
    }
    assert changed == {
        "image": {"antialias", "colour"},
        "thermal": {"antialias", "stretch"},
        "depth": {"antialias"},
        "video": {"train_flip", "pixel_aspect", "colour"},
        "audio": {"mono", "resampler"},
        "imu": set(),
        "text": set(),
    }


def test_an_unknown_field_is_refused_with_the_nearest_name():
    with pytest.raises(errors.ConfigError, match="Did you mean 'antialias'"):
        specs.from_dict("image", {"antialiased": True})


def test_an_unknown_modality_is_refused_with_the_nearest_name():
    with pytest.raises(errors.ConfigError, match="Did you mean 'thermal'"):
        specs.from_dict("termal", {})


@pytest.mark.parametrize(
    ("modality", "fields"),
    [
        ("image", {"size": 0}),
        ("image", {"size": "224"}),
        ("image", {"size": True}),
        ("image", {"mean": [0.5, 0.5]}),
        ("image", {"std": [0.5, 0.0, 0.5]}),
        ("image", {"kernel": "cubic"}),
        ("depth", {"min_depth_m": 11}),
        ("depth", {"unit_m": 0}),
        ("video", {"frames": 0}),
        ("video", {"train_flip": 1.5}),
        ("audio", {"mono": "left"}),
        ("audio", {"resampler": "linear"}),
        ("audio", {"layout": "slice"}),
        ("audio", {"clips": 0}),
        ("audio", {"padding": "zero"}),
        ("audio", {"bank": "mel"}),
        ("video", {"choice": "chunk"}),
        ("video", {"fps": 0}),
        ("video", {"shape": "stretched"}),
        ("image", {"levels": "bits"}),
        ("image", {"levels": "bytes", "antialias": False}),
        ("depth", {"levels": "bytes"}),
        ("depth", {"channels": 2}),
        ("depth", {"form": "inverse"}),
        ("depth", {"baseline_m": 0}),
        ("depth", {"focal_px": -1.0}),
        ("depth", {"max_disparity": 0}),
        ("depth", {"holes": "far"}),
        ("thermal", {"channels": 4}),
        ("audio", {"window_s": 0.0}),
        ("audio", {"bounds": "early"}),
        ("audio", {"layout": "windows", "bank": "dmvr"}),
        ("imu", {"samples": 0}),
        ("imu", {"window_s": 0.0}),
        ("imu", {"rate_hz": -1.0}),
        ("imu", {"accel_unit": "N"}),
        ("imu", {"gyro_unit": "rpm"}),
        ("imu", {"columns": "a,b"}),
        ("imu", {"interpolate_s": -0.1}),
        ("imu", {"short": "pad"}),
        ("imu", {"train_crop": "first"}),
        ("text", {"context": 2}),
        ("text", {"tokens": "pieces"}),
    ],
)
def test_a_bad_value_is_refused(modality, fields):
    with pytest.raises(errors.ConfigError, match=next(iter(fields))):
        specs.from_dict(modality, fields)


def test_depth_without_a_maximum_survives_json():
    spec = specs.DepthSpec(max_depth_m=None)
    assert specs.from_dict("depth", specs.to_dict(spec)) == spec


def test_the_digest_is_stable_and_follows_every_change():
    assert specs.digest(specs.ImageSpec()) == specs.digest(specs.ImageSpec())
    variants = [
        specs.ImageSpec(),
        specs.ThermalSpec(),
        specs.ImageSpec(antialias=False),
        specs.ImageSpec(size=336),
    ]
    assert len({specs.digest(s) for s in variants}) == len(variants)


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        (specs.DepthSpec(), "2eb642f2bd9b9c84"),
        (specs.DepthSpec(antialias=False), "44c0b01cb13abf27"),
        (specs.VideoSpec(), "0631a86161cbf7ee"),
        (specs.AudioSpec(), "39e48adf64e0952b"),
    ],
)
def test_fields_that_came_later_leave_the_digest_of_what_was_there(spec, digest):
    assert specs.digest(spec) == digest
    assert not any(name in specs.told(spec) for name in ("missing", "choice=", "fps", "layout"))


def test_fields_of_depth_that_came_later_change_its_digest_where_they_are_set():
    spec, digest = specs.DepthSpec(), "2eb642f2bd9b9c84"
    assert "missing" not in specs.told(spec)
    changed = dataclasses.replace(spec, missing=(65535,))
    assert specs.digest(changed) != digest
    plain = repr(changed).replace(", kernel='bicubic', levels='float'", "")
    plain = plain.partition(", form='metres'")[0] + ")"
    assert specs.told(changed) == plain.replace(", rotated_bits=0, ray_focal=None", "")


def test_the_digest_follows_how_files_are_read(monkeypatch):
    before = {name: specs.digest(spec) for name, spec in specs.PRESETS["reference"].items()}
    monkeypatch.setattr(specs, "_READING", {specs.AudioSpec: 99})
    after = {name: specs.digest(spec) for name, spec in specs.PRESETS["reference"].items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"audio", "video"}


def test_the_presets_of_imagebind_differ_where_stated():
    names = ("imagebind", "imagebind_reference", "imagebind_200hz")
    plain, *others = (
        {m: specs.to_dict(specs.preset(m, name)) for m in specs.SPECS} for name in names
    )
    changed = [
        {m: {f for f in plain[m] if plain[m][f] != other[m][f]} for m in plain} for other in others
    ]
    assert changed == [
        {
            "image": {"colour"},
            "video": {"pixel_aspect", "colour", "bounds"},
            "depth": {"antialias", "holes"},
            "thermal": {"stretch"},
            "audio": {"bounds"},
            "imu": set(),
            "text": set(),
        },
        {m: {"window_s"} if m == "imu" else set() for m in plain},
    ]
    assert {m: specs.shape(specs.preset(m, "imagebind")) for m in specs.SPECS} == {
        "image": (224, 224, 3),
        "video": (15, 2, 224, 224, 3),
        "depth": (224, 224, 1),
        "thermal": (224, 224, 1),
        "audio": (3, 128, 204, 1),
        "imu": (2000, 6),
        "text": (77,),
    }
    assert specs.preset("imu").grid_hz == 400
    assert specs.preset("imu", "imagebind_200hz").grid_hz == 200

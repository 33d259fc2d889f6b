"""What the presets of preprocessing change of the specs' defaults: preset -> modality -> fields."""

import typing

from lb_jax.core import modalities

Changes = dict[str, dict[str, typing.Any]]  # modality -> field -> value

# The published training of LanguageBind.
_REFERENCE: Changes = {
    "image": {"antialias": False, "colour": "stored"},
    "video": {"train_flip": 0.5, "pixel_aspect": "stored", "colour": "stored"},
    "depth": {"antialias": False},
    "thermal": {"antialias": False, "stretch": "full"},
    "audio": {"mono": "first", "resampler": "sinc_hann"},
}

# VALOR (spec 2): its pictures are read as films of one frame. The released weights saw sound that
# was padded otherwise; the frames of VALOR-1M lay a second apart, those of its tasks a quarter. Its
# front end takes the rate of the file, and its files were extracted at 22,050 Hz: at the 48,000 of
# a film the same filters would mean other frequencies.
_VALOR: Changes = {
    "video": {
        "choice": "chunks",
        "fps": 4.0,
        "shape": "stretch",
        "train_crop": "centre",
    },
    "audio": {"sample_rate_hz": 22_050, "mel_bins": 64, "target_frames": 512, "layout": "slices"},
    modalities.TEXT: {"context": 32, "clean": "bare", "tokens": "wordpiece"},
}
_VALOR_REFERENCE: Changes = {
    **_VALOR,
    "video": _VALOR["video"] | {"pixel_aspect": "stored", "colour": "stored"},
    "audio": _VALOR["audio"] | {"sample_rate_hz": None, "padding": "published"},
}

# MMV (spec 1.1, 2): 3.2 s of frames in [0, 1] and of sound; a still is one such frame.
_MMV_FRAME = {"size": 200, "antialias": True, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_MMV: Changes = {
    "image": _MMV_FRAME | {"kernel": "bilinear"},
    "video": _MMV_FRAME
    | {
        "frames": 32,
        "fps": 10.0,
        "choice": "run",
        "train_flip": 0.5,
        "augmentation": "dmvr",
    },
    "audio": {
        "sample_rate_hz": 48_000,
        "mel_bins": 80,
        "target_frames": 150,
        "mean": 0.0,
        "std": 0.5,  # twice of which divides
        "layout": "whole",
        "bank": "dmvr",
    },
    modalities.TEXT: {"context": 16, "clean": "content", "tokens": "words"},
}

# ImageBind (spec 5): pictures are resized as Pillow resizes bytes; a film is 15 views of two frames
# and a sound three windows, which their model averages; thermal pictures are plain greys. Depth is
# disparity as Omnivore's data have it, and motion the 400 Hz of the paper: neither was published
# with the weights.
_OMNIVORE = {"mean": (0.0418,) * 3, "std": (0.0295,) * 3}
_IMAGEBIND: Changes = {
    "image": {"levels": "bytes"},
    "video": {"frames": 2, "clips": 5, "clip_s": 2.0, "crops": 3},
    "depth": {
        "form": "disparity",
        "min_depth_m": 0.01,
        "max_depth_m": 50.0,
        "holes": "far",
        "channels": 1,
    }
    | _OMNIVORE,
    "thermal": {
        "channels": 1,
        "levels": "bytes",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    },
    "audio": {
        "mel_bins": 128,
        "target_frames": 204,
        "mean": -4.268,
        "std": 4.569,  # twice of which divides: 9.138
        "mono": "first",
        "resampler": "sinc_hann",
        "layout": "windows",
        "clips": 3,
        "padding": "published",
    },
    "imu": {},
    modalities.TEXT: {},
}
_IMAGEBIND_REFERENCE: Changes = {
    **_IMAGEBIND,
    "image": _IMAGEBIND["image"] | {"colour": "stored"},
    "video": _IMAGEBIND["video"]
    | {"pixel_aspect": "stored", "colour": "stored", "bounds": "published"},
    "depth": _IMAGEBIND["depth"] | {"antialias": False, "holes": "near"},
    "thermal": _IMAGEBIND["thermal"] | {"stretch": "full"},
    "audio": _IMAGEBIND["audio"] | {"bounds": "published"},
}
# A third party infers 10 s at 200 Hz from the data that the paper names: 2000 samples as well.
_IMAGEBIND_200HZ: Changes = {**_IMAGEBIND, "imu": {"window_s": 10.0}}


CHANGES: dict[str, Changes] = {
    "default": {},
    "reference": _REFERENCE,
    "valor": _VALOR,
    "valor_reference": _VALOR_REFERENCE,
    "mmv": _MMV,
    "imagebind": _IMAGEBIND,
    "imagebind_reference": _IMAGEBIND_REFERENCE,
    "imagebind_200hz": _IMAGEBIND_200HZ,
}

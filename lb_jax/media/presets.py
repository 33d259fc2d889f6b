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


CHANGES: dict[str, Changes] = {
    "default": {},
    "reference": _REFERENCE,
    "valor": _VALOR,
    "valor_reference": _VALOR_REFERENCE,
    "mmv": _MMV,
}

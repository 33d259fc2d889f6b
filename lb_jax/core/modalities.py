"""The modalities, one row each. Adding a modality starts with a row here.

Sources: the LanguageBind scripts and `main.py` (which blocks carry LoRA, which parameters stay
frozen), see `configs/` for the recipes.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Modality:
    """What distinguishes one vision-tower modality from the others.

    Attributes:
      name: the key used everywhere: parameters, configs, command line.
      has_frames: whether an item is `[t, h, w, c]` (a clip) rather than `[h, w, c]`.
      lora_targets: path rule of the linear layers that carry LoRA factors (LanguageBind
        `model/process_clip.py`).
      text_kind: caption kind it is trained and scored with unless a config says otherwise
        (LanguageBind `scripts/*/train*.sh`).
      suffixes: file name endings that are taken for this modality when a folder is read.
    """

    name: str
    has_frames: bool
    lora_targets: str
    text_kind: str
    suffixes: tuple[str, ...]


_SPATIAL = r"blocks/attn/(q|k|v|out)_proj"
_TEMPORAL = r"blocks/temporal_attn/(q|k|v|out)_proj"
_STILL = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# numbers of sensors and renderers
_MAPS = (
    *(".tif", ".tiff", ".pgm", ".pfm", ".exr", ".jp2"),
    *(".npy", ".npz", ".h5", ".hdf5", ".mat"),
)

MODALITIES = {
    m.name: m
    for m in (
        Modality("image", False, _SPATIAL, "polish_mplug", _STILL),
        Modality(
            "video",
            True,
            _TEMPORAL,
            "polish_mplug",
            (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v"),
        ),
        Modality("depth", False, _SPATIAL, "polish_mplug", (".png", *_MAPS)),
        Modality("thermal", False, _SPATIAL, "polish_mplug", _STILL),
        Modality(
            "audio",
            False,
            _SPATIAL,
            "sound_mplug",
            (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".opus"),
        ),
    )
}

TEXT = "text"

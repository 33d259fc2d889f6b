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
      in_languagebind: whether LanguageBind has a tower of it.
    """

    name: str
    has_frames: bool
    lora_targets: str
    text_kind: str
    suffixes: tuple[str, ...]
    in_languagebind: bool = True


_SPATIAL = r"blocks/attn/(q|k|v|out)_proj"
_TEMPORAL = r"blocks/temporal_attn/(q|k|v|out)_proj"
# What people use first comes first: of files that differ in their ending alone the first is taken.
_PICTURE = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".jpe", ".jfif", ".mpo", ".apng", ".gif"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k"),
    *(".ppm", ".pgm", ".pnm", ".pbm"),
)
_FILM = (
    *(".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".ts", ".mts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv"),
    *(".mxf", ".divx"),
)
_SOUND = (
    *(".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".opus", ".oga", ".mka", ".weba"),
    *(".aiff", ".aif", ".aifc", ".caf", ".w64", ".au", ".snd", ".wma", ".amr", ".m4b"),
    *(".mp2", ".mpga", ".ac3", ".eac3", ".wv", ".tta", ".wave", ".bwf", ".rf64", ".m4r"),
)
_READINGS = (".png", ".tif", ".tiff", ".pgm", ".jp2", ".npy", ".npz")  # grey of more than 8 bits
_MOTION = (".csv", ".parquet", ".npz", ".npy", ".tsv")  # accelerometer and gyroscope

MODALITIES = {
    m.name: m
    for m in (
        Modality("image", False, _SPATIAL, "polish_mplug", _PICTURE),
        Modality("video", True, _TEMPORAL, "polish_mplug", _FILM),
        Modality(
            "depth",
            False,
            _SPATIAL,
            "polish_mplug",
            (*_READINGS, ".pfm", ".exr", ".mat", ".h5", ".hdf5"),
        ),
        Modality(
            "thermal",
            False,
            _SPATIAL,
            "polish_mplug",
            (*_PICTURE, ".npy", ".npz", ".irg", ".fff"),
        ),
        Modality("audio", False, _SPATIAL, "sound_mplug", _SOUND),
        Modality("imu", False, _SPATIAL, "polish_mplug", _MOTION, in_languagebind=False),
    )
}

# Those that LanguageBind's weights, towers and recipes have.
LANGUAGEBIND = tuple(m.name for m in MODALITIES.values() if m.in_languagebind)
TEXT = "text"
# Of VALOR's groups, such as "tva".
LETTERS = {"t": TEXT, "v": "video", "a": "audio"}

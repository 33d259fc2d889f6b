"""Small MMV models with drawn weights and words, as folders and as released files."""

import dataclasses

import jax
import numpy as np

from lb_jax.convert import mmv_files
from lb_jax.core import paths
from lb_jax.models.graphs import GraphConfig, HeadConfig
from lb_jax.models.mmv import Mmv, MmvConfig
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig
from lb_jax.text.words import Words

WORDS = Words.build(["a cat sleeps", "a dog barks", "rain falls on a red car"])
PREPROCESS = {
    "video": {"frames": 4, "size": 16},
    "audio": {"target_frames": 20, "mel_bins": 16},
    "image": {"size": 16},
    "text": {"context": 3},
}
TOWERS = {
    "video": TSMConfig((8, 16), (1, 1), stem=4),
    "audio": ResNetConfig((8, 16), (1, 1), bottleneck=False, stem=4),
    "text": WordsConfig(12, vocab=len(WORDS), word_dim=6),
}
FAC = GraphConfig(
    "fac",
    {
        "video_va": HeadConfig(10, inner=(7,), norm=True),
        "audio_va": HeadConfig(10),
        "coarse": HeadConfig(6, norm=True),
        "text_vat": HeadConfig(6),
        "audio_at": HeadConfig(4),
        "text_at": HeadConfig(4),
    },
    interaction="relu",
)
CFG = MmvConfig(FAC, **TOWERS)
DISJOINT = GraphConfig(
    "disjoint",
    {
        name: HeadConfig(6)
        for name in ("video_va", "video_vt", "audio_va", "audio_at", "text_vt", "text_at")
    },
)


def without(*names):
    """The config without some towers."""
    return dataclasses.replace(CFG, **dict.fromkeys(names))


def save(folder, cfg=CFG, words=WORDS, preprocess=None, seed=0):
    """Writes a checkpoint; its batch norms have seen values of variance one."""
    flat = paths.flatten(Mmv(cfg).init(jax.random.key(seed)))
    ones = {path: np.ones_like(leaf) for path, leaf in flat.items() if path.endswith("var/average")}
    stated = PREPROCESS if preprocess is None else preprocess
    stated = {name: fields for name, fields in stated.items() if name in cfg.towers}
    known = words if cfg.text is not None else None
    mmv_files.save(folder, cfg, paths.unflatten({**flat, **ones}), stated, known)
    return folder

"""How MMV was trained, as far as it is known (MMV spec 2 and 4.4): one row each.

`UNKNOWN` says what no source tells; there the rows hold what stands behind it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    SourceConfig,
    TrainConfig,
    chosen,
)
from lb_jax.training.mmv_config import CORPUS, MmvRun

LR, WARMUP_STEPS = 0.002, 5000
BATCH, STEPS = 4096, 500_000
WORDS = 16  # of a narration

# Setting -> what the rows have, which no source tells; beside it what makes it likely.
UNKNOWN: Mapping[str, tuple[object, str]] = {
    "steps": (STEPS, "told once, unconfirmed; of large runs about 8 epochs"),
    "optim.weight_decay": (0.0, "Adam is named without one"),
    "optim.clip_norm": (0.0, "not named"),
    "optim.b1": (0.9, "Adam's own"),
    "optim.b2": (0.999, "Adam's own"),
    "optim.eps": (1e-8, "Adam's own"),
    "mmv.candidates": (5, "VATT's and MIL-NCE's"),
    "mmv.text_weight": (10.0, "of HowTo100M alone the ratio is told, not which of the two is 10"),
    "modalities.audio.preprocess.bank": ("dmvr", "or 'vatt': which logarithm"),
    "modalities.video.preprocess.augmentation": ("dmvr", "of the library of the same authors"),
    "data.sources": ("audioset, main", "how the two corpora are mixed: here in equal parts"),
    "mmv.vocabulary": ("", "the list of words, and of those left out of texts"),
}


class Setting(NamedTuple):
    """What is learnt from which films.

    Attributes:
      sources: names of the corpora.
      text_weight: of the term of narrations, that of sounds being 1; 0 learns from none.
      is_published: whether texts are read by a frozen table of word2vec, as published, which
        `mmv.word_vectors` or `init_from` names; else by the words of the run's own narrations.
    """

    sources: tuple[str, ...]
    text_weight: float
    is_published: bool = True


# What stands behind the colon of a sheet.
SETTINGS = {
    "films": Setting(("main",), 0.0, is_published=False),
    "narrated": Setting(("main",), 1.0, is_published=False),
    "audioset": Setting(("main",), 0.0),
    "howto100m": Setting(("main",), 10.0),
    "howto100m_audioset": Setting(("main", "audioset"), 1.0),
}
USUAL = "films"


def run(arch: str, row: str, sheet: str) -> TrainConfig:
    """The run of a row.

    Args:
      arch: a row of `models/mmv_architectures.py`.
      row: of `SETTINGS`.
      sheet: its file, for messages.

    Raises:
      ConfigError: for another row, with the nearest.
    """
    one = chosen(SETTINGS, row, sheet)
    return TrainConfig(
        arch=arch,
        modalities={"video": ModalityRecipe(), "audio": ModalityRecipe()},
        trainable=trains(one),
        steps=STEPS,
        batch_size=BATCH,
        text_length=WORDS,
        data=DataConfig(sources={name: SourceConfig() for name in one.sources}),
        optim=OptimConfig(
            lr=LR, warmup_steps=WARMUP_STEPS, weight_decay=0.0, b1=0.9, b2=0.999, eps=1e-8
        ),
        mmv=MmvRun(text_weight=one.text_weight, vocabulary="" if one.is_published else CORPUS),
    )


def trains(one: Setting) -> tuple[tuple[str, bool], ...]:
    """Rules for what trains: all but the published table of words."""
    frozen = (("text/token_embed/.*", False),) if one.text_weight and one.is_published else ()
    return (*frozen, (".*", True))

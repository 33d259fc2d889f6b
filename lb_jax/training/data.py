"""From the settings of a run to what loads its samples."""

import functools
from collections.abc import Mapping
from typing import Any

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.data import pipeline
from lb_jax.data.rows import Source
from lb_jax.data.sources import open_source
from lb_jax.training.config import SourceConfig, TrainConfig


def loaders(cfg: TrainConfig, preprocess: Mapping[str, Any]) -> dict[str, pipeline.Loader]:
    """Opens the corpora and prepares a loader per modality, and one of caption pairs.

    Args:
      cfg: of the run.
      preprocess: modality -> its preprocessing spec.

    Raises:
      DataError: for a corpus that cannot be read or lacks a kind of captions.
      ConfigError: for a modality that no corpus carries.
    """
    opened = {name: _open(one) for name, one in cfg.data.sources.items()}
    encode = functools.partial(pipeline.tokens, cfg.text_length)
    found: dict[str, pipeline.Loader] = {}
    for modality, one in cfg.modalities.items():
        sources = _carrying(cfg.data.sources, opened, modality)
        kind = one.text_kind or usual_kind([source for source, _ in sources], modality)
        for source, _ in sources:
            source.require([kind])
        found[modality] = pipeline.Loader(
            sources,
            modality,
            preprocess[modality],
            kind,
            encode,
            seed=cfg.seed,
            cache=cfg.data.cache == "memory",
        )
    if cfg.paraphrase:
        every = [(opened[name], one.weight) for name, one in cfg.data.sources.items()]
        for source, _ in every:
            source.require(cfg.paraphrase.kinds)
        found[TEXT] = pipeline.CaptionPairs(every, cfg.paraphrase.kinds, encode, seed=cfg.seed)
    return found


def usual_kind(sources: list[Source], modality: str) -> str:
    """The caption kind a modality is trained with, or the only one that the corpora have."""
    held = {kind for one in sources for kind in one.text_kinds}
    return held.pop() if len(held) == 1 else MODALITIES[modality].text_kind


def _open(source: SourceConfig) -> Source:
    return open_source(
        source.path,
        root=source.root or None,
        columns=source.columns,
        modality=source.modality or None,
    )


def _carrying(
    configs: Mapping[str, SourceConfig], opened: Mapping[str, Source], modality: str
) -> list[tuple[Source, float]]:
    found = [
        (opened[name], one.weight)
        for name, one in configs.items()
        if one.modality in ("", modality) and modality in opened[name].modalities
    ]
    if not found:
        held = "; ".join(f"{one.where}: {', '.join(one.modalities)}" for one in opened.values())
        raise errors.ConfigError(f"config.data.sources has no {modality}; it has {held}.")
    return found

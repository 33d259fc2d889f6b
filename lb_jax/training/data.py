"""From the settings of a run to what loads its samples."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from lb_jax.core import checkpoint, errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.corpora import captions
from lb_jax.corpora.rows import Source
from lb_jax.corpora.sources import open_source
from lb_jax.feed import pairs, pipeline, text_cache
from lb_jax.feed.epochs import LastBatch
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import config as train_config
from lb_jax.training import recipe
from lb_jax.training.compute import compute_dtype
from lb_jax.training.config import SourceConfig, TrainConfig

EMBED_BATCH = 256  # captions per call of the text tower when the text cache is made


def loaders(cfg: TrainConfig, preprocess: Mapping[str, Any]) -> dict[str, pipeline.Loader]:
    """Opens the corpora and prepares a loader per modality, and one of caption pairs.

    Args:
      cfg: of the run.
      preprocess: modality -> its preprocessing spec.

    Raises:
      DataError: for a corpus that cannot be read or lacks a kind of captions.
      ConfigError: for a corpus without a path, or a modality that no corpus carries.
    """
    train_config.require_sources(cfg)
    opened = {name: open_corpus(one) for name, one in cfg.data.sources.items()}
    encode = functools.partial(pipeline.tokens, cfg.text_length)
    drops = cfg.data.last_batch == LastBatch.DROP
    drop_to = {name: size if drops else 0 for name, size in cfg.batch_sizes.items()}
    found: dict[str, pipeline.Loader] = {}
    for modality, one in cfg.modalities.items():
        sources = _carrying(cfg.data.sources, opened, modality)
        spec = recipe.training_spec(preprocess[modality])
        options: dict[str, Any] = {
            "seed": cfg.seed,
            "cache": cfg.data.cache == "memory",
            "drop_to": drop_to[modality],
        }
        if one.anchor != TEXT:
            seen = recipe.training_spec(preprocess[one.anchor])
            found[modality] = pairs.Pairs(sources, modality, spec, one.anchor, seen, **options)
            continue
        kind = one.text_kind or captions.usual_kind(
            (held for source, _ in sources for held in source.text_kinds), modality
        )
        for source, _ in sources:
            source.require([kind])
        found[modality] = pipeline.Loader(sources, modality, spec, kind, encode, **options)
    if cfg.paraphrase:
        every = [(opened[name], one.weight) for name, one in cfg.data.sources.items()]
        for source, _ in every:
            source.require(cfg.paraphrase.kinds)
        found[TEXT] = pipeline.CaptionPairs(
            every, cfg.paraphrase.kinds, encode, seed=cfg.seed, drop_to=drop_to[TEXT]
        )
    return found


def use_text_cache(
    cfg: TrainConfig,
    model: LanguageBind,
    frozen: paths.Tree,
    trainable: paths.Tree,
    loaders: Mapping[str, pipeline.Loader],
) -> None:
    """Makes the loaders give embeddings in place of tokens, after embedding what is not there yet.

    The first process embeds; the others wait for it.

    Raises:
      ConfigError: for a text tower that trains, or a store that another tower made.
    """
    if TEXT in trainable or cfg.paraphrase:
        raise errors.ConfigError(
            "config.data.text_cache needs a frozen text tower; leave it empty, or take text out of "
            "config.trainable and config.paraphrase."
        )
    identity = {
        "tower": checkpoint.digest({TEXT: frozen[TEXT]}),
        "activation": model.cfg.text.activation,
        "tokenizer": text_cache.TOKENIZER,
        "text_length": cfg.text_length,
        "dtype": compute_dtype(cfg, jax.default_backend()).name,
    }
    params, encode = {TEXT: frozen[TEXT]}, jax.jit(model.encode, static_argnums=1)

    def embed(ids: np.ndarray) -> np.ndarray:
        return np.asarray(encode(params, TEXT, ids), np.float32)

    def texts() -> Iterator[str]:
        for loader in loaders.values():
            yield from loader.texts()

    if jax.process_index() == 0:
        dim = model.cfg.text.embed_dim
        text_cache.make(
            Path(cfg.data.text_cache), identity, texts, embed, dim=dim, batch_size=EMBED_BATCH
        )
    multihost_utils.sync_global_devices("caption embeddings")
    cache = text_cache.TextCache(Path(cfg.data.text_cache), identity)
    for loader in loaders.values():
        loader.encode = cache


def open_corpus(source: SourceConfig, expected: str | None = None) -> Source:
    """Opens one corpus of a run, see `sources.open_source`."""
    return open_source(
        source.path,
        root=source.root or None,
        columns=source.columns,
        modality=source.modality or None,
        narrations=source.narrations or None,
        expected=expected,
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
        raise errors.ConfigError(
            f"config.data.sources has no {modality}; it has {held}. Add a corpus with it, or "
            "take it out of config.modalities."
        )
    return found

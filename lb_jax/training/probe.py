"""Figures on a fixed set of items, prepared as for inference, while a run goes on.

Loss and gradient say how training goes; these say what it is for: whether a caption finds its item.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import jax
import numpy as np

from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.corpora import captions
from lb_jax.corpora.rows import Source, name_of
from lb_jax.evaluation.metrics import health, recall, scoring
from lb_jax.feed import pipeline
from lb_jax.media import preprocess
from lb_jax.training import data as data_lib
from lb_jax.training import sharding
from lb_jax.training.config import SourceConfig, TrainConfig
from lb_jax.training.program import Program

# One caption and frame of an item that has several, always the same.
DRAW_SEED = 0


Items = Sequence[tuple[str, Any]]  # caption and file of each


def choose(cfg: TrainConfig) -> dict[str, Items]:
    """The items of every modality that `cfg.probe` says.

    Raises:
      DataError: for a corpus that cannot be read or lacks a caption.
      ConfigError: when it lacks a modality of the run.
    """
    one, [first, *others] = cfg.probe, cfg.modalities
    modality = one.modality or ("" if others else first)
    source = data_lib.open_corpus(SourceConfig(one.path, one.root, one.columns, modality))
    return {name: _chosen(cfg, source, name) for name in cfg.modalities}


def _chosen(cfg: TrainConfig, source: Source, name: str) -> Items:
    rows = source.having(name)[: cfg.probe.size] if name in source.modalities else ()
    if not len(rows):
        raise errors.ConfigError(
            f"config.probe.path: {source.where} has no {name}; add items with it or leave the path "
            "empty."
        )
    kind = cfg.modalities[name].text_kind or captions.usual_kind(source.text_kinds, name)
    source.require([kind])
    found = []
    for number in rows:
        row = source[int(number)]
        files = row.media[name]
        text, frame = captions.draw_text(row, kind, np.random.default_rng(DRAW_SEED), len(files))
        found.append((text, files[frame]))
    return found


class Probe:
    """The probe set of a run.

    Args:
      cfg: the run.
      program: towers, preprocessing and mesh.
      items: what `choose` gives.
    """

    def __init__(self, cfg: TrainConfig, program: Program, items: Mapping[str, Items]):
        self._cfg, self._program, self._items = cfg, program, items
        self._encode = jax.jit(
            lambda params, frozen, name, x: program.model.encode(
                paths.overlay(frozen, params), name, x
            ),
            static_argnums=2,
            out_shardings=sharding.replicated(program.mesh),
        )

    def texts(self, params: paths.Tree, frozen: paths.Tree) -> dict[str, np.ndarray]:
        """Embeddings of the captions by modality, float32 [n, e]."""
        encode = functools.partial(pipeline.tokens, self._cfg.text_length)
        found = {}
        for name, items in self._items.items():
            ids = [encode(text)[0] for text, _ in items]
            found[name] = self._embed(params, frozen, TEXT, ids, self._cfg.batch_sizes[name])
        return found

    def __call__(
        self,
        params: paths.Tree,
        frozen: paths.Tree,
        texts: Mapping[str, np.ndarray],
        stopping: Callable[[], bool],
    ) -> dict[str, float] | None:
        """Figures by `probe/<modality>/<figure>`; None when it was to stop on the way.

        `text_to_R@1` and `to_text_R@1`: share of the captions that find their item first, and of
        the items that find their caption. `modality_gap`: distance between the mean embeddings of
        items and captions (arXiv 2203.02053). `effective_rank`: directions that the embeddings of
        the items use (Roy and Vetterli 2007).

        Raises:
          DataError: for an item that cannot be decoded; the set is fixed, so none is left out.
        """
        found = {}
        for name, items in self._items.items():
            size, media = self._cfg.batch_sizes[name], []
            for start in range(0, len(items), size):
                if stopping():
                    return None
                refs = [ref for _, ref in items[start : start + size]]
                media.append(self._embed(params, frozen, name, self._decoded(name, refs), size))
            for key, value in figures(np.concatenate(media), texts[name]).items():
                found[f"probe/{name}/{key}"] = value
        return found

    def _decoded(self, name: str, refs: Sequence[Any]) -> list[np.ndarray]:
        spec = self._program.preprocess[name]

        def load(ref: Any) -> np.ndarray:
            try:
                return preprocess.transform(name, preprocess.decode(name, ref, spec), spec)
            except errors.DataError as error:
                where = name_of(ref, f"config.probe.path, {name}")
                raise errors.DataError(where, f"{error.reason}; the probe set needs it") from error

        with futures.ThreadPoolExecutor(max(1, self._cfg.data.threads)) as pool:
            return list(pool.map(load, refs))

    def _embed(
        self,
        params: paths.Tree,
        frozen: paths.Tree,
        name: str,
        arrays: Sequence[np.ndarray],
        size: int,
    ) -> np.ndarray:
        """Embeddings [n, e] of n arrays, `size` at a time; the last batch is filled up."""
        found = []
        for start in range(0, len(arrays), size):
            batch = list(arrays[start : start + size])
            batch = np.stack(batch + [batch[-1]] * (size - len(batch)))
            placed = sharding.put_whole(batch, self._program.mesh)
            found.append(np.asarray(self._encode(params, frozen, name, placed)))
        return np.concatenate(found)[: len(arrays)]


def figures(media: np.ndarray, texts: np.ndarray) -> dict[str, float]:
    """Figures of items and their captions, unit rows [n, e]; see `Probe`."""
    to_text = scoring.cosine(media, texts)
    return {
        "text_to_R@1": recall.retrieval(to_text.T)["R@1"],
        "to_text_R@1": recall.retrieval(to_text)["R@1"],
        "modality_gap": health.modality_gap(media, texts),
        "effective_rank": health.effective_rank(media),
    }

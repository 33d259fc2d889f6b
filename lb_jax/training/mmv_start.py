"""What an MMV run starts from: its words, trained weights, or what is drawn from the seed."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lb_jax.convert import hub, mmv_files
from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.convolution import STATE
from lb_jax.models.mmv import Mmv, MmvConfig
from lb_jax.text import word_vectors, words
from lb_jax.text.spec import TextSpec
from lb_jax.text.words import Words
from lb_jax.training import data
from lb_jax.training.config import TrainConfig
from lb_jax.training.mmv_config import CORPUS, MmvRun

TABLE = f"{TEXT}/token_embed/embedding"


def settings(cfg: TrainConfig) -> MmvRun:
    """The part of a run's settings that is MMV's."""
    assert cfg.mmv is not None
    return cfg.mmv


@dataclasses.dataclass(frozen=True)
class Reader:
    """A narration -> int32 [n], and whether it was cut; see `Words.encode`."""

    known: Words
    spec: TextSpec

    def __call__(self, text: str) -> tuple[np.ndarray, bool]:
        """Reads one. Raises as `Words.encode`."""
        return self.known.encode(text, self.spec)


def vocabulary(cfg: TrainConfig) -> Words | None:
    """The words of a run, as far as a file of them lies on this machine: a plan needs none.

    Raises:
      DataError: when a file that is named cannot be used.
    """
    given = settings(cfg).vocabulary
    if given and given != CORPUS:
        return Words.read(given)
    start = Path(cfg.init_from)
    if not given and cfg.init_from and start.exists() and (file := mmv_files.words_of(start)):
        return Words.read(file)
    return None


def said(cfg: TrainConfig) -> Iterator[str]:
    """Every narration of a run's corpora."""
    for one in cfg.data.sources.values():
        source = data.open_corpus(one)
        for number in source.having("video"):
            with contextlib.suppress(errors.DataError):  # told of when the row is loaded
                found = source[int(number)].narrations
                yield from () if found is None else found.read().texts


def required_vocabulary(cfg: TrainConfig, rows: int) -> Words:
    """The words of a run, made or fetched where there is no file of them yet.

    Args:
      cfg: of the run.
      rows: of the model's table of words.

    Raises:
      ConfigError: when there is none, or it is of another size.
    """
    run = settings(cfg)
    found = vocabulary(cfg)
    if found is None and run.vocabulary == CORPUS:
        found = Words.build(said(cfg), rows)
        if len(found) == len(words.SPECIAL):
            raise errors.ConfigError(
                "config.mmv.vocabulary is 'corpus', and no film of config.data.sources has "
                "narrations; name them by config.data.sources.NAME.narrations, or learn from sight "
                "and sound alone: --config.mmv.text_weight=0."
            )
    elif found is None and run.word_vectors:
        found = word_vectors.known(run.word_vectors, rows)
    elif found is None and cfg.init_from and (file := mmv_files.words_of(hub.local(cfg.init_from))):
        found = Words.read(file)
    if found is None:
        where = f" and none beside {cfg.init_from}" if cfg.init_from else ""
        raise errors.ConfigError(
            f"config.mmv.vocabulary is empty{where}; give a file of words, one a line, or 'corpus' "
            "for those of the narrations, or config.mmv.word_vectors."
        )
    # what fills it up is no word that a text can have
    free = (f"<{number}>" for number in range(rows - len(found)))
    found = Words([*found.vocabulary, *free], "config.mmv.vocabulary")
    if len(found) != rows:
        raise errors.ConfigError(
            f"config.mmv.vocabulary has {len(found)} words, and the table of {cfg.arch} {rows} "
            "rows; give a shorter one."
        )
    return found


def opened(cfg: TrainConfig) -> mmv_files.MmvWeights | None:
    """The model that a run starts from, if it starts from one.

    Raises:
      CheckpointError: when it is no model of MMV, or cannot be read.
    """
    if not cfg.init_from:
        return None
    return mmv_files.open_mmv(hub.local(cfg.init_from))


def drawn_params(cfg: TrainConfig, model: Mmv) -> paths.Tree:
    """Parameters drawn from the seed, statistics that have seen nothing."""
    return model.init(jax.random.key(cfg.seed))


def initial_params(cfg: TrainConfig, model: Mmv) -> paths.Tree:
    """Starting parameters on the host: of `init_from`, or drawn, with vectors of words.

    Raises:
      CheckpointError: when something cannot be read.
      ConfigError: when it does not fit the run.
    """
    trains = paths.match(cfg.trainable, paths.flatten(model.shapes), "config.trainable")
    run, weights = settings(cfg), opened(cfg)
    if weights and run.word_vectors:
        raise errors.ConfigError(
            f"config.mmv.word_vectors, and {weights.where} has a table of words; leave one out."
        )
    if weights:
        return _of_model(cfg, weights, model)
    params = jax.tree.map(np.asarray, jax.device_get(jax.jit(lambda: drawn_params(cfg, model))()))
    if TEXT not in params:
        return params
    if run.word_vectors:
        known = required_vocabulary(cfg, model.shapes[TEXT]["token_embed"]["embedding"].shape[0])
        table = params[TEXT]["token_embed"]["embedding"]
        table, count = word_vectors.table(run.word_vectors, known, table)
        print(f"lb-jax: vectors of {count} of {len(table)} words", file=sys.stderr)
        params[TEXT]["token_embed"]["embedding"] = table
    elif not trains[TABLE]:
        raise errors.ConfigError(
            f"config.trainable leaves {TABLE} as it is, and it is drawn: words would stay noise. "
            f"Give config.mmv.word_vectors or config.init_from, or train it by ({TABLE!r}, True)."
        )
    return params


def _of_model(cfg: TrainConfig, weights: mmv_files.MmvWeights, model: Mmv) -> paths.Tree:
    """Those of a trained model, which may have more towers."""
    one, other = (_told(shape, model.cfg) for shape in (weights.config, model.cfg))
    differing = [
        f"{name.replace('/', '.')} is {one.get(name, 'none')}, of the run {other.get(name, 'none')}"
        for name in sorted({*one, *other}, key=lambda name: (name in one) + (name in other) < 2)
        if one.get(name) != other.get(name)
    ]
    if differing:
        raise errors.ConfigError(
            f"{weights.where} does not fit config.arch={cfg.arch} with "
            f"config.mmv.graph={settings(cfg).graph}: {'; '.join(differing[:6])}. Choose its "
            "architecture and graph."
        )
    found = paths.flatten(weights.params())
    return paths.unflatten({path: found[path] for path in paths.flatten(model.shapes)})


def _told(shape: MmvConfig, run: MmvConfig) -> dict[str, Any]:
    """Field -> value of a model's shape, of what the run has."""
    towers = {name: tower for name, tower in shape.towers.items() if name in run.towers}
    heads = {name: head for name, head in shape.graph.heads.items() if name in run.graph.heads}
    told = {**towers, "graph": dataclasses.replace(shape.graph, heads=heads)}
    flat = paths.flatten({name: config_lib.to_dict(one) for name, one in told.items()})
    return {name: value for name, value in flat.items() if name not in _FREE}


_FREE = ("video/layout",)  # no parameter depends on it


def still_parts(cfg: TrainConfig, model: Mmv) -> frozenset[str]:
    """Towers, or "heads", whose batch norms the run leaves as they are: they read their statistics.

    Raises:
      ConfigError: for one whose statistics the run's rules leave in part.
    """
    running, _ = paths.divide(model.shapes, STATE)
    trains = paths.match(cfg.trainable, paths.flatten(model.shapes), "config.trainable")
    found = set()
    for name, part in running.items():
        each = {trains[f"{name}/{path}"] for path in paths.flatten(part)}
        if each == {False}:
            found.add(name)
        elif len(each) > 1:
            raise errors.ConfigError(
                f"config.trainable leaves statistics of {name} in part; train those of all its "
                f"batch norms or of none, as by a first rule ('{name}/.*running/.*', True)."
            )
    return frozenset(found)

"""Drawn vectors and the rows of a store that hold them; a model without weights."""

import dataclasses
import types

import numpy as np

from lb_jax.core import errors
from lb_jax.media import settings
from lb_jax.search import maker as maker_lib
from lb_jax.search import rows as rows_lib
from lb_jax.search.store import Store

WIDTH = 16
MAKER = maker_lib.Maker("a" * 64, "b" * 16, "float32", "models/first", WIDTH, 5.0, 5.0)
OTHER = dataclasses.replace(MAKER, digest="c" * 64, source="models/second")
TUM = settings.to_json(settings.Settings("tum"))  # of files, see `Maker.settings`


def unit(count, seed=0, width=WIDTH):
    """Float32 [count, width], each of length 1."""
    found = np.random.default_rng(seed).standard_normal((count, width), np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def rows(vectors, path="/media/a.mp4", modality="video", maker=MAKER, window_s=5.0):
    """A row for each vector: windows of one file, or the still that a modality without time is."""
    timed = modality in ("video", "audio")
    return [
        rows_lib.Row(
            path,
            modality,
            i * window_s if timed else None,
            (i + 1) * window_s if timed else None,
            f"hash of {path}",
            1,
            2,
            maker.digest,
            maker.preprocessing,
            vector,
        )
        for i, vector in enumerate(vectors)
    ]


def nearest(vectors, query, k):
    """Numbers of the `k` vectors nearest to a query, best first."""
    return np.argsort(-(vectors @ query), kind="stable")[:k]


def table(uri):
    """The table of a store that answers, as LanceDB opens it."""
    import lancedb

    return lancedb.connect(str(uri)).open_table(Store.open(str(uri)).maker.name)


class FakeModel:
    """Gives each file the vector that its content draws; counts what it is asked for."""

    modalities = ("audio", "image", "video")
    preprocessing, dtype, batch_size = "b" * 16, np.float32, 4
    width, space = WIDTH, None

    def __init__(self, source, seed):
        self.source, self.seed, self.digest = source, seed, f"{seed}" * 64
        self.asked = []

    @property
    def calibration(self):
        raise errors.ConfigError("there is none")

    def at_once(self, modality):
        return self.batch_size

    def preprocess(self, modality, items):
        self.asked += [(path, modality) for path in items]
        return np.stack([self._content(path) for path in items])

    def encode(self, modality, array):
        return np.concatenate([unit(1, [self.seed, int(one)]) for one in array[:, 0]])

    def embed(self, modality, items):
        return np.concatenate([unit(1, [self.seed, len(item)]) for item in items])

    def embed_long(self, media, window_s, stride_s=None, modality=None):
        self.asked.append((media, modality))
        number = int(self._content(media)[0])
        start = stride_s * np.arange(3.0)
        vectors = np.concatenate([unit(1, [self.seed, number, i]) for i in range(3)])
        return types.SimpleNamespace(start_s=start, end_s=start + window_s, vectors=vectors)

    def _content(self, path):
        with open(path) as file:
            text = file.read()
        if not text.isdigit():
            raise errors.DataError(path, "is damaged; leave it out.")
        return np.array([float(text)])

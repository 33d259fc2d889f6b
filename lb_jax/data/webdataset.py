"""Samples in tar shards, as WebDataset packs them: members of one sample share their name.

The name ends at the first dot of the file's name; what follows says what the member is, see
`MEMBERS`. The headers are read once, the contents when a row asks for them, at their place in the
shard.
"""

import array
import bisect
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.data import captions, tar
from lb_jax.data.rows import Ref, Row

_KINDS = "|".join((*captions.TEXT_KINDS, *captions.FRAME_KINDS))
_SUFFIXES = {name: "|".join(s[1:] for s in m.suffixes) for name, m in MODALITIES.items()}
_JSON = "json"
# What follows a sample's name -> the modality or caption kind that it is. Group 1 is its frame.
# The first match counts. LanguageBind spec 8.7, then what is usual elsewhere.
MEMBERS = (
    (re.compile(rf"frm(\d+)\.(?:{_SUFFIXES['image']})"), "image"),
    (re.compile(rf"tml(\d+)\.(?:{_SUFFIXES['thermal']})"), "thermal"),
    (re.compile(rf"dep(\d+)\.(?:npy|{_SUFFIXES['depth']})"), "depth"),
    *((re.compile(rf"ofa{k}\.txt"), kind) for kind, k in captions.FRAME_KINDS.items()),
    *((re.compile(rf"{k}\.txt"), k) for k in (*captions.TEXT_KINDS, *captions.FRAME_KINDS)),
    (re.compile("txt"), "caption"),
    (re.compile("json"), _JSON),
    *((re.compile(rf"{name}\.(?:{s})"), name) for name, s in _SUFFIXES.items()),
    *((re.compile(_SUFFIXES[name]), name) for name in ("image", "video", "audio")),
    (re.compile("opus|oga"), "audio"),
)
_READABLE = "jpg, mp4, wav, txt, json, frm0.jpg, tml0.jpg, dep0.npy, raw.txt, depth.png, ..."
# Stills of one sample that also are its clip, where it has no video.
_CLIP_OF = "image"
# Before most captions of this kind (spec 5.6).
_PREFIXES = {"polish_mplug": "In the video, "}
_BRACES = re.compile(r"\{([^{}]*)\}")


class WebDataset:
    """The samples of tar shards.

    A row's id is `<shard>/<name of the sample>`, so names may come again in other shards. Several
    stills of a sample are its frames, and its clip if it has no video. Captions of a `.txt` come
    before those in the sample's `.json`. Members of other endings and hidden ones are left out.

    Args:
      path: a `.tar`, a folder of them, or a pattern such as `train-{000..003}.tar`.
      kinds_needed: caption kinds that every row must have, any key of `captions.DRAW_KINDS`.

    Raises:
      errors.DataError: missing, damaged or empty shard, a member that leads out of it (see
        `tar.members`), a sample with two members of one name, no member that can be read.
      errors.ConfigError: unknown kind.
    """

    def __init__(self, path: str | Path, kinds_needed: Iterable[str] = ()):
        self.where, self._needed = str(path), tuple(kinds_needed)
        captions.require_kinds(self._needed)
        self._shards = shards(Path(path))
        self._index = _Index(self._shards)
        if not len(self._index):
            found = ", ".join(sorted(self._index.unread)[:8]) or "no files"
            raise errors.DataError(
                path, f"holds {found}; expected members that end in {_READABLE}"
            )
        given = {what for what, _ in self._index.meanings}
        self.modalities = tuple(name for name in MODALITIES if name in given)
        if _CLIP_OF in given and self._index.has_frames and "video" not in given:
            self.modalities = tuple(n for n in MODALITIES if n in given or n == "video")
        texts = given | (set(self._json_kinds()) if _JSON in given else set())
        self.text_kinds = tuple(
            k for k in (*captions.TEXT_KINDS, *captions.FRAME_KINDS) if k in texts
        )

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Row:
        shard, name, members = self._index[index]
        path = self._shards[shard]
        sample = f"{self._index.shard_names[shard]}/{name}"
        ...

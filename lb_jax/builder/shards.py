"""The corpus as WebDataset: tar shards, members named as LanguageBind names them (spec 8.7)."""

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from lb_jax.builder import laying
from lb_jax.builder.sheet import Out
from lb_jax.builder.stage import ID
from lb_jax.builder.texts import views

ROWS = 1000  # of a shard


def write(kept: pa.Table, corpus: Path, cfg: Out, folder: Path) -> None:
    """Writes shards of the kept items, in the order of their ids; the same give the same bytes.

    Members of an item: `raw.txt`, `mplug.txt`, `polish_mplug.txt`, `sound_mplug.txt`, `ofa0.txt` to
    `ofa7.txt` as far as it has these texts; `mp4` and `frm0.jpg` to `frm7.jpg` where it has
    pictures, `wav` where it has sound.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = kept.to_pylist()
    names = [f"corpus-{number:05d}.tar" for number in range((len(rows) + ROWS - 1) // ROWS)]
    for number, shard_name in enumerate(names):
        partial = folder / f".{shard_name}.partial"
        with tarfile.open(partial, "w") as shard:
            for row in rows[number * ROWS : (number + 1) * ROWS]:
                paths = laying.files(corpus, cfg, row[ID])
                for kind, text in _texts(row).items():
                    _add(shard, f"{row[ID]}.{kind}.txt", text.encode())
                members = {"mp4": paths["video"][0]}
                members |= {f"frm{frame}.jpg": path for frame, path in enumerate(paths["image"])}
                members |= {"wav": paths["audio"][0]}
                for name, path in members.items():
                    if path.exists():
                        _add(shard, f"{row[ID]}.{name}", path.read_bytes())
        os.replace(partial, folder / shard_name)
    for path in folder.glob("corpus-*.tar"):
        if path.name not in names:
            path.unlink()


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Name of a member -> text: those of single frames have their number."""
    found: dict[str, str] = {}
    for kind, text in views.of(row).items():
        found |= (
            {kind: text}
            if isinstance(text, str)
            else {f"{kind}{frame}": one for frame, one in enumerate(text)}
        )
    return found


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    about = tarfile.TarInfo(name)  # no time, no owner
    about.size = len(content)
    shard.addfile(about, io.BytesIO(content))

"""Small sources of raw films, sheets for them, and runs in this process."""

import dataclasses
import json

import numpy as np
import pyarrow as pa

from lb_jax.builder import export, items, sheet, stage, store
from lb_jax.builder.engine import local
from lb_jax.builder.filters.resolution import Resolution
from lb_jax.demo import media
from lb_jax.media import video

# Stages without a library beside those of the package, nor a model.
PLAIN = (
    *("title_length", "word_list", "duration", "resolution", "aspect", "frame_rate"),
    *("silence", "clipping", "black", "still"),
)


FACTS = stage.Facts(2.0, 192, 192, 16, 8.0, has_sound=True)


@dataclasses.dataclass
class Fake:
    """A film that is there as arrays."""

    frames: np.ndarray = None
    wave: np.ndarray | None = None
    rate_hz: int = 16_000
    facts: stage.Facts = FACTS

    def pictures(self, count):
        """Evenly spread frames."""
        return self.frames[np.linspace(0, len(self.frames) - 1, count).astype(int)]

    def clip(self, spec):
        """The frames that a spec chooses."""
        return video.decode(self.frames, spec)

    def every(self):
        """All frames."""
        return self.frames

    def sound(self):
        """All of its sound."""
        return None if self.wave is None else (self.wave, self.rate_hz)


def titled(*titles):
    """A batch of items with these titles."""
    rows = [{"id": f"{n}", "title": title} for n, title in enumerate(titles)]
    return pa.RecordBatch.from_pylist(rows, schema=stage.ITEM)


def table(*titles, **columns):
    """All items with these titles, in order, with more columns."""
    rows = pa.Table.from_batches([titled(*titles)])
    for name, values in columns.items():
        rows = rows.append_column(name, pa.array(values))
    return rows


def drawn(seed=0, frames=12, side=144):
    """Pictures that move, uint8 [frames, side, side, 3], and noise, int16 [n]; 8 a second."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(40, 255, (12, 12 + frames, 3), np.uint8)
    views = [
        np.kron(rough[:, n : n + 12], np.ones((side // 12, side // 12, 1))) for n in range(frames)
    ]
    wave = np.round(3000 * rng.standard_normal(frames * 2000)).astype(np.int16)
    return np.stack(views).astype(np.uint8), wave


def film(folder, name, frames, wave):
    """Writes a film; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    media.write_film(folder / name, frames, wave, rate_hz=8, sound_hz=16_000)
    return folder / name


def source(folder, count, **others):
    """A source of films that all stages of `PLAIN` keep, in `raw.json`.

    Args:
      folder: to write.
      count: of films.
      **others: key -> frames and samples of more, which come last; None is a damaged file.
    """
    entries = {}
    made = {f"film{n:03}": drawn(n) for n in range(count)} | others
    for n, (key, arrays) in enumerate(made.items()):
        path = film(folder, f"{key}.mp4", *(drawn(n) if arrays is None else arrays))
        if arrays is None:
            path.write_bytes(path.read_bytes()[:2000])
        entries[key] = {
            "title": f"a film with number {n}",
            "file": path.name,
            "licence": ("CC0-1.0", "CC-BY-4.0")[n % 2],
            "source": "test",
        }
    (folder / "raw.json").write_text(json.dumps(entries))
    return folder / "raw.json"


def config(source, stages=PLAIN, **changes) -> sheet.CorpusConfig:
    """A sheet for small films."""
    changes = {"resolution": Resolution(smallest_px=96)} | changes
    cfg = sheet.CorpusConfig(stages=stages, source=sheet.Source(path=str(source)))
    return dataclasses.replace(cfg, **changes)


def run(cfg, uri, **settings):
    """Runs a sheet; the plan, the store and the table of all items."""
    plan, source = sheet.plan(cfg), items.read(cfg.source)
    opened = store.Store.open(uri)
    settings = {"workers": 1, "commit_rows": 4, "shown": False} | settings
    local.run(plan, source, opened, **settings)
    return plan, opened, export.table(plan, opened)

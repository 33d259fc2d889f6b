"""Runs of bulk embedding with a model that draws its vectors, and what they leave."""

import json

import numpy as np

from lb_jax.corpora import media_files as sources
from lb_jax.search import bulk
from lb_jax.search.maker import Maker
from lb_jax.search.store import Store
from tests.inference import fake
from tests.media import media_files
from tests.search import stores


def update(folder, uri, model=None, window_s=1.0, **settings):
    """Embeds a folder into a store: summary, rows and model."""
    model = model or fake.Fake()
    store = Store.create(str(uri), Maker.of(model, window_s, window_s))
    found = sources.find([folder], model.modalities)
    listed = settings.pop("quarantine", f"{uri}.bad")
    settings = {"workers": 1, "shown": False} | settings
    return bulk.update(found, model, store, listed, **settings), rows(uri), model


def rows(uri):
    """All rows of a store, in its order."""
    return stores.table(uri).to_arrow().to_pylist()


def named(rows):
    """Names of the files of rows."""
    return [row["path"].rpartition("/")[2] for row in rows]


def listed(path):
    """The lines of a list in JSONL."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def pictures(folder, *reds):
    """A folder of pictures, and a model whose decoding fails on those of red 255."""
    folder.mkdir()
    for number, red in enumerate(reds):
        (folder / f"{number}.png").write_bytes(fake.colour(red, seed=number))
    return folder, fake.Fake(image=fake.Faulty(size=32))


def depth_list(tmp_path, unit):
    """A manifest of one depth map of 2 m at 5,000 units a metre."""
    picture = media_files.picture(np.full((40, 40), 10_000, np.uint16))
    if not (tmp_path / "a.png").exists():
        (tmp_path / "a.png").write_bytes(picture)
    (tmp_path / "list.csv").write_text(f"depth,depth_unit\na.png,{unit}\n")
    return tmp_path / "list.csv"

"""Whatever is wrong with a store is found, with the command that mends it."""

import dataclasses
import os

import lancedb

from lb_jax.search import stamps
from tests.search import stores
from tests.search.stores import MAKER, WIDTH


def test_check_finds_what_is_wrong(store, uri, tmp_path):
    def file(name):
        path = tmp_path / name
        path.write_text(name)
        row = stores.rows(stores.unit(1), str(path))[0]
        return dataclasses.replace(row, **dataclasses.asdict(stamps.stamp(path)))

    names = ("gone", "changed", "touched", "sound", "twice")
    files = {name: file(name) for name in names}
    store.add(list(files.values()))
    store.add([files["twice"]])
    (tmp_path / "gone").unlink()
    (tmp_path / "changed").write_text("longer than before")
    os.utime(tmp_path / "touched", (1, 1))
    raw = lancedb.connect(uri).open_table(MAKER.name)
    for name, change in (
        ("sound", {"vector": (2 * stores.unit(1)[0]).tolist(), "start_s": 50.0}),
        ("sound", {"vector": [float("inf")] * WIDTH, "start_s": 55.0}),
        ("sound", {"model": "e" * 64, "start_s": 60.0}),
    ):
        raw.add([dataclasses.asdict(files[name]) | change])
    found = {(one.path and os.path.basename(one.path), one.what[:24]) for one in store.check()}
    assert found == {
        ("gone", "video file is gone (No s"),
        ("changed", "video file has changed s"),
        ("twice", "1 window there more than"),
        ("sound", "2 vectors not finite or "),
        (None, "1 row of model eeeeeeeee"),
    }
    assert all(one.is_serious for one in store.check())
    (gone,) = (one.what for one in store.check() if "gone" in one.what)
    assert gone.endswith(
        f"`lb-jax index build FOLDER -o {uri} --model models/first --prune` removes it"
    )
    assert store.repeated() == {(str(tmp_path / "twice"), "video")}

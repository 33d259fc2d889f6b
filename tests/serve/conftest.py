"""One server for all tests of the folder, with a store of the media of `client`."""

import numpy as np
import pytest

from lb_jax.core import shipped
from lb_jax.evaluation import familiar
from lb_jax.inference import api
from lb_jax.search import captions as captions_lib
from lb_jax.search import maker as maker_lib
from lb_jax.search import rows as rows_lib
from lb_jax.search import stamps
from lb_jax.search import store as store_lib
from tests.inference import valor_models
from tests.serve import client

SUFFIX = {"audio": ".wav", "video": ".mp4"}


@pytest.fixture(scope="session")
def store(model, tmp_path_factory):
    """A store of one file of each modality, and captions of the video and the picture."""
    folder = tmp_path_factory.mktemp("stored")
    maker = maker_lib.Maker.of(model, 5.0, 5.0)
    opened = store_lib.Store.create(folder / "store", maker)
    rows = []
    for modality, data in client.CONTENT.items():
        path = folder / f"{modality}{SUFFIX.get(modality, '.png')}"
        path.write_bytes(data)
        stamp = stamps.stamp(path)
        timed = modality in SUFFIX
        rows.append(
            rows_lib.Row(
                rows_lib.path_of(path),
                modality,
                0.5 if timed else None,
                1.0 if timed else None,
                stamp.sha256,
                stamp.size,
                stamp.mtime_ns,
                model.digest,
                model.preprocessing,
                model.embed(modality, [data])[0].astype(np.float32),
            )
        )
    opened.add(rows)
    captions = opened.captions(make=True)
    captions.add(
        [
            captions_lib.Caption(row.sha256, row.modality, row.start_s, row.end_s, said)
            for row in rows
            if (said := client.CAPTIONS.get(row.modality)) is not None
        ],
        captions_lib.Captioner("k" * 64, "writer"),
    )
    captions.build_index()
    return folder / "store"


@pytest.fixture(scope="session")
def captioner(tmp_path_factory):
    """The folder of a small VALOR model."""
    return valor_models.save(tmp_path_factory.mktemp("valor") / "writer")


@pytest.fixture(scope="session")
def server(folder, store, captioner):
    given = f"--model={folder}", f"--store={store}", f"--captioner={captioner}"
    with client.serving(*given, "--max-media-s=60") as started:
        yield started


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory):
    """A server of the demo's model with pictures and clips that it knows, and sounds it does not.

    The vectors are those that its calibration keeps, so nothing is embedded.
    """
    folder = tmp_path_factory.mktemp("known")
    model = api.load(shipped.DEMO)
    usual = model.calibration.usual
    rng = np.random.default_rng(0)
    vectors = {
        name: np.frombuffer(one.vectors, familiar.STORED).reshape(one.items, -1)[:20]
        for name, one in usual.items()
        if name in ("image", "video")
    }
    vectors["audio"] = rng.normal(size=(8, vectors["image"].shape[1]))
    opened = store_lib.Store.create(folder / "store", maker_lib.Maker.of(model, 10.0, 10.0))
    for modality, every in vectors.items():
        path = folder / f"{modality}{SUFFIX.get(modality, '.png')}"
        path.write_bytes(client.CONTENT[modality])
        stamp = stamps.stamp(path)
        rows = []
        for second, vector in enumerate(every.astype(np.float32)):
            times = (float(second), second + 1.0) if modality in SUFFIX else (None, None)
            unit = vector / np.linalg.norm(vector)
            told = (stamp.sha256, stamp.size, stamp.mtime_ns, model.digest, model.preprocessing)
            where = rows_lib.path_of(path.with_stem(f"{modality}{second}"))
            rows.append(rows_lib.Row(where, modality, *times, *told, unit))
        opened.add(rows)
    with client.serving(f"--store={folder / 'store'}") as started:
        yield started

"""Parts of a model are read when first needed, each as the checkpoint has it."""

import numpy as np

from lb_jax.convert import weights
from lb_jax.core import checkpoint, paths
from tests.inference import copies


def test_only_the_asked_for_tower_is_read(folder, load, monkeypatch):
    read = []
    original = weights.Stored.part

    def recorded(self, name, *rest):
        read.append(name)
        return original(self, name, *rest)

    monkeypatch.setattr(weights.Stored, "part", recorded)
    twin = load(folder)
    assert read == []
    twin.embed("text", "a cat")
    assert read == ["text"]
    read.clear()
    twin.embed("depth", np.full((50, 60), 2000, np.uint16))
    assert read == ["base", "towers/depth"]
    read.clear()
    twin.embed("depth", np.full((50, 60), 3000, np.uint16))
    assert read == []


def test_a_tower_may_bring_its_own_copy_of_base(model, load, copy):
    base = paths.flatten(checkpoint.load_params(copy)["base"])
    copies.rewrite(copy, params={f"towers/depth/{path}": leaf for path, leaf in base.items()})
    item = np.full((50, 60), 2000, np.uint16)
    np.testing.assert_allclose(
        load(copy).embed("depth", item), model.embed("depth", item), atol=1e-6
    )

"""Small ImageBind weights with drawn values, as the reference writes them."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lb_jax.convert import imagebind, torch_writer
from lb_jax.models import imagebind as towers
from lb_jax.models.languagebind import ModelConfig

WIDTH, DEPTH, HEADS, DIM = 16, 2, 2, 8
SMALL = {
    name: towers.Size(WIDTH, DEPTH, HEADS, size.patch, size.image_size, size.stride)
    for name, size in towers.SIZES.items()
}
CFG = towers.model(
    {name: towers.tower(name, size, DIM) for name, size in SMALL.items()},
    towers.text(WIDTH, DEPTH, HEADS, DIM, vocab=60, context=10),
)


# The same with CLIP's words, so that it reads texts.
READING = dataclasses.replace(CFG, text=towers.text(WIDTH, DEPTH, HEADS, DIM))


@functools.cache
def tensors(cfg: ModelConfig = CFG) -> Mapping[str, np.ndarray]:
    """Name -> drawn tensor, float32, the mask of texts among them."""
    rng = np.random.default_rng(0)
    found = {
        place.name: np.asarray(0.3 * rng.standard_normal(place.foreign_shape), np.float32)
        for place in imagebind.places(cfg)
    }
    return found | {imagebind.MASK: imagebind.mask(cfg.text.context)}


def write(
    folder: Path,
    found: Mapping[str, np.ndarray] | None = None,
    config: dict | None = None,
    cfg: ModelConfig = CFG,
) -> Path:
    """A folder with a file as released, and what is said of its sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    torch_writer.write(folder / "imagebind.pth", (found or tensors(cfg)).items(), {})
    (folder / "config.json").write_text(json.dumps(config or imagebind.to_config(cfg)))
    return folder

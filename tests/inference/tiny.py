"""A checkpoint of all five modalities with drawn weights: no training, nothing compiled."""

from pathlib import Path

import jax
import numpy as np

from lb_jax.core import checkpoint, paths
from lb_jax.core import config as config_lib
from lb_jax.models.languagebind import LanguageBind
from lb_jax.models.lora import LoraConfig
from lb_jax.training import recipe
from lb_jax.training.config import ModalityRecipe, TrainConfig

LORA = LoraConfig(rank=2)
RUN = TrainConfig(
    arch="tiny",
    modalities={
        "image": ModalityRecipe(),
        "video": ModalityRecipe(lora=LORA, temporal=True, preprocess={"frames": 2}),
        "depth": ModalityRecipe(lora=LORA),
        "thermal": ModalityRecipe(lora=LORA),
        "audio": ModalityRecipe(lora=LORA, preprocess={"mel_bins": 32, "target_frames": 64}),
    },
    trainable=((r".*", True),),
    steps=1,
    batch_size=1,
)

# Standard deviations under which every part shows in the output and none drowns the others.
SPREAD = (
    (r".*/patch_embed/kernel", lambda shape: np.prod(shape[:-1]) ** -0.5),
    (r".*/(kernel|lora_a)", lambda shape: shape[-2] ** -0.5),
    (r".*_embed(/embedding)?", lambda shape: 1.0),
    (r".*", lambda shape: 0.1),
)


def save(folder: Path) -> Path:
    """Writes the checkpoint; norms scale by about 1, no other leaf is near a special value."""
    model_cfg, preprocess = recipe.build(RUN)
    shapes = jax.eval_shape(LanguageBind(model_cfg).init, jax.random.key(0))
    draw = np.random.default_rng(0).standard_normal
    params = {}
    for path, leaf in paths.flatten(shapes).items():
        spread = paths.match_one(SPREAD, path)(leaf.shape)
        centre = 1.0 if path.endswith("/scale") else 0.0
        params[path] = np.asarray(centre + spread * draw(leaf.shape), np.float32)
    config = {
        "model": config_lib.to_dict(model_cfg),
        "preprocess": config_lib.to_dict(preprocess),
    }
    checkpoint.save_model(folder, paths.unflatten(params), config)
    return folder

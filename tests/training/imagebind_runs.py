"""Small runs of ImageBind over the demo's corpus.

Modalities are in the order of their names, as in a sheet, which parameters are drawn by.
"""

from lb_jax.media.specs import ONE_CLIP
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    SourceConfig,
    TrainConfig,
)


def pictures(corpus_dir):
    """Motion bound to clips, depth to stills, sound to captions; everything is dropped."""
    return TrainConfig(
        arch="imagebind_tiny",
        modalities={
            "audio": ModalityRecipe(),
            "depth": ModalityRecipe(
                anchor="image",
                patch_dropout=0.5,
                batch_size=16,
                preprocess={"focal_px": 518.86},
            ),
            "imu": ModalityRecipe(anchor="video", drop_path=0.3, head_dropout=0.3),
        },
        beside={"video": ONE_CLIP},
        trainable=((r"towers/.*|logit_scale/depth", True), (r".*", False)),
        steps=6,
        batch_size=8,
        text_length=32,
        data=DataConfig({"main": SourceConfig(str(corpus_dir / "train.json"))}),
        optim=OptimConfig(lr=1e-3, warmup_steps=2),
        log_every=1,
        save_every=2,
    )

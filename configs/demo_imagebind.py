"""Demo, ImageBind: small towers of its form on the demo's corpus, motion sensors among them.

    lb-jax train --config=configs/demo_imagebind.py:vision --workdir=build/vision \\
        --config.data.sources.main.path=build/corpus/train.json

`vision` makes the tower of stills and clips out of the demo's image tower, as the original came out
of an OpenCLIP, and teaches it what moves. Then, with --config.init_from=build/vision, `image` binds
modalities to the pictures and films of the same items, as published, and `text` binds them to
captions. `lb-jax demo imagebind` is the corpus, the three runs, measures and reports.
"""

from lb_jax.core import shipped
from lb_jax.media.specs import ONE_CLIP
from lb_jax.training import config as train_config
from lb_jax.training.config import DataConfig, ModalityRecipe, OptimConfig, TrainConfig

CLIP = ModalityRecipe(preprocess=ONE_CLIP, batch_size=96)  # films of 2 s are one window
DEPTH = {"preprocess": {"focal_px": 518.86}}  # disparity needs the camera
IMU = {"drop_path": 0.1, "head_dropout": 0.1}
TOWERS = ((r"towers/.*|logit_scale/(imu|depth|thermal|audio)", True), (r".*", False))

# what stands behind the colon -> (modalities, what trains, steps, learning rate)
ROWS = {
    "vision": (
        {"video": CLIP, "image": ModalityRecipe(text_kind="ofa")},
        ((r"base/.*|logit_scale/text", True), (r".*", False)),
        600,
        4e-3,
    ),
    "image": (
        {
            "imu": ModalityRecipe(anchor="video", **IMU),
            "depth": ModalityRecipe(anchor="image", **DEPTH),
            "thermal": ModalityRecipe(anchor="image"),
        },
        TOWERS,
        400,
        2e-3,
    ),
    "text": (
        {"imu": ModalityRecipe(**IMU), "depth": ModalityRecipe(**DEPTH)}
        | {name: ModalityRecipe(batch_size=32) for name in ("thermal", "audio")},
        TOWERS,
        400,
        2e-3,
    ),
}


def get_config(row="vision"):
    modalities, trains, steps, lr = train_config.chosen(ROWS, row, "configs/demo_imagebind.py")
    return train_config.as_config_dict(
        TrainConfig(
            arch="imagebind_tiny",
            init_from=shipped.DEMO if row == "vision" else "",
            modalities=modalities,
            anchors={"video": ONE_CLIP} if row == "image" else {},
            trainable=trains,
            steps=steps,
            batch_size=64,
            text_length=24,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(lr=lr, warmup_steps=20, weight_decay=0.05, init_temperature=0.1),
            log_every=10,
            save_every=100,
        )
    )

"""Demo, ImageBind: small towers of its form on the demo's corpus, motion sensors among them.

    lb-jax train --config=configs/demo_imagebind.py:vision --workdir=build/vision \\
        --config.data.sources.main.path=build/corpus/train.json

`vision` makes the tower of stills and clips out of the demo's image tower, as the original came out
of an OpenCLIP, and teaches it what moves. With --config.init_from=build/vision, `image` then binds
to pictures and films, as published, and `text` to captions. `lb-jax demo imagebind` does it all.
"""

from lb_jax.core import shipped
from lb_jax.media.specs import ONE_CLIP
from lb_jax.training import config as train_config
from lb_jax.training.config import DataConfig, ModalityRecipe, OptimConfig, TrainConfig

CLIP = ModalityRecipe(preprocess=ONE_CLIP, batch_size=96)  # films of 2 s are one window
IMU = {"drop_path": 0.1, "head_dropout": 0.1}
DEPTH = {"preprocess": {"focal_px": 518.86}}  # disparity needs the camera
FEW = ModalityRecipe(batch_size=32)

# what stands behind the colon -> modalities
ROWS = {
    "vision": {"video": CLIP, "image": ModalityRecipe(text_kind="ofa")},
    "image": {
        "imu": ModalityRecipe(anchor="video", **IMU),
        "depth": ModalityRecipe(anchor="image", **DEPTH),
    },
    "text": {
        "imu": ModalityRecipe(**IMU),
        "depth": ModalityRecipe(**DEPTH),
        "thermal": FEW,
        "audio": FEW,
    },
}


def get_config(row="vision"):
    modalities = train_config.chosen(ROWS, row, "configs/demo_imagebind.py")
    is_vision = row == "vision"
    trains = r"base/.*|logit_scale/text" if is_vision else r"towers/.*|logit_scale/(?!text).*"
    return train_config.as_config_dict(
        TrainConfig(
            arch="imagebind_tiny",
            init_from=shipped.DEMO if is_vision else "",
            modalities=modalities,
            beside={} if is_vision else {"video": ONE_CLIP, "image": {}},
            trainable=((trains, True), (r".*", False)),
            steps=600 if is_vision else 400,
            batch_size=64,
            text_length=24,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(
                lr=4e-3 if is_vision else 2e-3,
                warmup_steps=20,
                weight_decay=0.05,
                init_temperature=0.1,
            ),
            log_every=10,
            save_every=100,
        )
    )

"""Demo, stage 1: a tiny image/video-text model from nothing, on the demo corpus.

    lb-jax train --config=configs/demo_pretrain.py --workdir=build/pretrain \\
        --config.data.annotations=build/corpus/train.json
"""

from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    TrainConfig,
    as_config_dict,
)


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="tiny",
            modalities={
                "image": ModalityRecipe(text_kind="mix"),
                "video": ModalityRecipe(
                    text_kind="polish_mplug", temporal=True, preprocess={"frames": 4}
                ),
            },
            trainable=((r".*", True),),
            steps=400,
            batch_size=64,
            text_length=32,
            data=DataConfig(cache="memory"),
            optim=OptimConfig(lr=2e-3, warmup_steps=40),
            log_every=10,
            save_every=100,
        )
    )

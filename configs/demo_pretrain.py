"""Demo, stage 1: a tiny image/video-text model from nothing, on the demo corpus.

    lb-jax train --config=configs/demo_pretrain.py --workdir=build/pretrain \\
        --config.data.sources.main.path=build/corpus/train.json
"""

from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    ParaphraseConfig,
    TrainConfig,
    as_config_dict,
)


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="tiny",
            modalities={
                "image": ModalityRecipe(text_kind="ofa", batch_size=80),
                "video": ModalityRecipe(temporal=True, preprocess={"frames": 2}, batch_size=96),
            },
            paraphrase=ParaphraseConfig(),
            trainable=((r".*", True),),
            steps=600,
            batch_size=64,
            text_length=24,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(lr=4e-3, warmup_steps=40, weight_decay=0.1, init_temperature=0.2),
            log_every=10,
            save_every=100,
        )
    )

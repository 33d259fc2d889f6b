"""Demo, stage 2: LoRA binds five modalities to stage 1's frozen text, by the published rules.

    lb-jax train --config=configs/demo_bind.py --workdir=build/bind \\
        --config.init_from=build/pretrain --config.data.sources.main.path=build/corpus/train.json
"""

from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    TrainConfig,
    as_config_dict,
)

LORA = LoraConfig(rank=16, alpha=16)


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="tiny",
            modalities={
                "image": ModalityRecipe(lora=LORA, batch_size=32),
                "video": ModalityRecipe(
                    lora=LORA, temporal=True, preprocess={"frames": 2}, batch_size=32
                ),
                "depth": ModalityRecipe(lora=LORA),
                "thermal": ModalityRecipe(lora=LORA),
                "audio": ModalityRecipe(
                    lora=LORA, preprocess={"mel_bins": 32, "target_frames": 128}, batch_size=80
                ),
            },
            trainable=(
                (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
                (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
                (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/.*", True),
                (r".*", False),
            ),
            steps=400,
            batch_size=64,
            text_length=24,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(lr=6e-3, warmup_steps=20, weight_decay=0.05, init_temperature=0.2),
            log_every=10,
            save_every=100,
        )
    )

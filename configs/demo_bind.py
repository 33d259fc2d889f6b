"""Demo, stage 2: five modalities bound to stage 1's frozen text tower by the published rules.

    lb-jax train --config=configs/demo_bind.py --workdir=build/bind \\
        --config.init_from=build/pretrain --config.data.annotations=build/corpus/train.json
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
                "image": ModalityRecipe(lora=LORA),
                "video": ModalityRecipe(lora=LORA, temporal=True, preprocess={"frames": 4}),
                "depth": ModalityRecipe(lora=LORA),
                "thermal": ModalityRecipe(lora=LORA),
                "audio": ModalityRecipe(
                    lora=LORA, preprocess={"mel_bins": 32, "target_frames": 128}
                ),
            },
            trainable=(
                (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
                (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
                (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_scale/.*", True),
                (r".*", False),
            ),
            steps=400,
            batch_size=64,
            text_length=32,
            data=DataConfig(cache="memory"),
            optim=OptimConfig(lr=2e-3, warmup_steps=40),
            log_every=10,
            save_every=100,
        )
    )

"""Own data: a CSV file with the columns path,caption, and the modality of its files.

    lb-jax train --config=configs/finetune.py:depth --workdir=run \\
        --config.data.sources.main.path=my.csv

`depth` may be image, video, thermal or audio, the CSV file any other corpus of docs/data.md.
Starts from the published weights of that modality, or --config.init_from=MODEL, and trains LoRA on
its attention against the frozen text tower. 1000 steps of 64 are 6 epochs of 10,000 rows: set
--config.steps by that. Memory: layers are computed again (remat), as for a single small device.
In about a minute on a CPU, from the demo's small model, without a network:
--config=finetune:depth,trial
"""

from lb_jax.models.lora import LoraConfig
from lb_jax.training import config as train_config
from lb_jax.training.config import DataConfig, LossConfig, ModalityRecipe, OptimConfig

LORA = LoraConfig(rank=16, alpha=16)
AUDIO = {"mel_bins": 112, "target_frames": 1036}

# modality -> (what to start from, how to train it, items per step)
RECIPES = {
    "image": ("LanguageBind_Image", ModalityRecipe(lora=LORA), 64),
    "video": (
        "LanguageBind_Video_FT",
        ModalityRecipe(lora=LORA, temporal=True, preprocess={"frames": 8}),
        16,
    ),
    "depth": ("LanguageBind_Depth", ModalityRecipe(lora=LORA, preprocess={"unit_m": 0.001}), 64),
    "thermal": ("LanguageBind_Thermal", ModalityRecipe(lora=LORA), 64),
    "audio": ("LanguageBind_Audio_FT", ModalityRecipe(lora=LORA, preprocess=AUDIO), 32),
}


def get_config(modality=""):
    name, recipe, batch_size = train_config.chosen(RECIPES, modality, "configs/finetune.py")
    source = train_config.SourceConfig(modality=modality)
    return train_config.as_config_dict(
        train_config.TrainConfig(
            arch="ViT-L/14",
            init_from=f"LanguageBind/{name}",
            modalities={modality: recipe},
            trainable=(
                (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
                (r"towers/[^/]+/(blocks/temporal_(embed|norm/.*)|class_embed)", True),
                (r"towers/[^/]+/(post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/.*", True),
                (r".*", False),
            ),
            batch_size=batch_size,
            steps=1000,
            remat="full",
            data=DataConfig(sources={"main": source}),
            loss=LossConfig(mask_duplicates=True),  # captions of own data repeat
            optim=OptimConfig(lr=1e-4, warmup_steps=100),
            log_every=10,
            save_every=100,
        )
    )

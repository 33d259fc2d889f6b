"""Video, the first release: time attention in every layer of the image tower, trained by LoRA.

    lb-jax train --config=configs/video.py --workdir=runs/video \\
        --config.data.sources.main.path=vidal.json

`video.py:full` trains the time attention itself ("full tuning": LanguageBind_Video_FT).

Original: 16 GPUs x 10 clips x 4 accumulated = 640; 16 epochs of 3,020,000 clips of VIDAL.
Published, text to video R@1 (LoRA / full): MSR-VTT 42.6 / 42.7, MSVD 52.2 / 53.5,
  DiDeMo 37.8 / 38.1, ActivityNet 35.1 / 36.9.
Small, on a CPU: --config=video:trial
"""

from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import (
    ModalityRecipe,
    OptimConfig,
    TrainConfig,
    as_config_dict,
    chosen,
)

# argument -> (factors, what trains of the time attention)
TUNING = {
    "lora": (LoraConfig(rank=16, alpha=16), r".*/lora_[ab]"),
    "full": (None, r".*"),
}


def get_config(tuning="lora"):
    lora, attention = chosen(TUNING, tuning, "configs/video.py")
    return as_config_dict(
        TrainConfig(
            arch="ViT-L/14",
            init_from="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
            modalities={
                "video": ModalityRecipe(
                    text_kind="polish_mplug",
                    patch_dropout=0.3,
                    lora=lora,
                    temporal=True,
                    preprocess={"frames": 8, "train_flip": 0.0},  # the original flips: 0.5
                )
            },
            trainable=(
                (rf"towers/video/blocks/temporal_attn/{attention}", True),
                (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
                (r"towers/video/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/video", True),
                (r".*", False),
            ),
            batch_size=640,
            accumulate=4,
            steps=16 * 4718,  # epochs x steps in each
            optim=OptimConfig(lr=1e-4, warmup_steps=2000),
        )
    )

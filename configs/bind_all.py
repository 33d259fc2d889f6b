"""Four modalities in one run over one frozen base and text tower, each as its own sheet has it.

    lb-jax train --config=configs/bind_all.py --workdir=runs/bind_all \\
        --config.data.sources.main.path=vidal.json

One model, one checkpoint, one base in memory. Ranks, patch dropout and learning rates are those of
the single runs; so are the batches of video and audio. Depth and thermal, which see one epoch
there, have a quarter of theirs and see six. Audio takes VIDAL's captions of sounds.

Original: none; the single runs took 8 to 16 GPUs each. Compare with the figures in `video.py`,
  `audio.py`, `depth.py` and `thermal.py`.
Small, on a CPU: --config=bind_all:trial
"""

from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import ModalityRecipe, OptimConfig, TrainConfig, as_config_dict

R16, R2 = LoraConfig(rank=16, alpha=16), LoraConfig(rank=2, alpha=16)


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="ViT-L/14",
            init_from="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
            modalities={
                "video": ModalityRecipe(
                    lora=R16,
                    patch_dropout=0.3,
                    temporal=True,
                    preprocess={"frames": 8},
                    batch_size=640,
                ),
                "audio": ModalityRecipe(
                    lora=R16,
                    patch_dropout=0.1,
                    preprocess={"mel_bins": 126, "target_frames": 1036},
                    batch_size=1024,
                ),
                "depth": ModalityRecipe(lora=R2, patch_dropout=0.5, batch_size=256),
                "thermal": ModalityRecipe(lora=R2, patch_dropout=0.5, batch_size=256),
            },
            trainable=(
                (r"towers/[^/]+/blocks/.*/lora_[ab]", True),
                (r"towers/video/blocks/temporal_(embed|norm/.*)", True),
                (r"towers/[^/]+/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/.*", True),
                (r".*", False),
            ),
            batch_size=1024,
            accumulate=4,
            steps=16 * 4718,  # 16 epochs of 3,020,000 clips
            optim=OptimConfig(
                lr=1e-4,
                warmup_steps=2000,
                lr_factors=(
                    (r"(towers|logit_scale)/audio(/.*)?", 10.0),
                    (r"(towers|logit_scale)/depth(/.*)?", 5.0),
                    (r".*", 1.0),
                ),
            ),
        )
    )

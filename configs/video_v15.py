"""Video 1.5, ViT-L/14: tube patches, no LoRA, the time attention itself trained on mixed captions.

    lb-jax train --config=configs/video_v15.py --workdir=runs/video_v15 \\
        --config.data.sources.main.path=vidal.json

Original: 64 GPUs x 8 clips x 2 accumulated = 1024; 6 epochs of 10,076,613 clips of VIDAL.
Published (LanguageBind_Video_V1.5_FT), text to video R@1: MSR-VTT 42.8, MSVD 54.1, DiDeMo 39.7,
  ActivityNet 38.4.
Small, on a CPU: --config=video_v15:trial
"""

from lb_jax.training.config import ModalityRecipe, OptimConfig, TrainConfig, as_config_dict


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="ViT-L/14",
            init_from="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
            modalities={
                "video": ModalityRecipe(
                    text_kind="mix",  # a fifth each: raw, mplug, polish_mplug, sound_mplug, ofa
                    patch_dropout=0.3,
                    temporal=True,
                    tube_size=1,
                    preprocess={"frames": 8, "train_flip": 0.0},  # the original flips: 0.5
                )
            },
            trainable=(
                (r"towers/video/blocks/temporal_.*", True),
                (r"towers/video/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/video", True),
                (r".*", False),
            ),
            batch_size=1024,
            accumulate=2,
            steps=6 * 9840,  # epochs x steps in each
            optim=OptimConfig(lr=1e-4, warmup_steps=2000),
        )
    )

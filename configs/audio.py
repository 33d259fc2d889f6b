"""Audio: spectrograms as pictures, the image tower's attention adapted by LoRA.

    lb-jax train --config=configs/audio.py --workdir=runs/audio \\
        --config.data.sources.main.path=sounds.jsonl

A row is {"path": "a.wav", "caption": ["a dog barks", ...]}. For a VIDAL annotation add
--config.modalities.audio.text_kind=sound_mplug. `audio.py:full` trains the attention itself
("full tuning": LanguageBind_Audio_FT). The released weights take 112 mel bins, the script 126.

Original: 16 GPUs x 16 x 4 accumulated = 1024; 16 epochs of 4,800,000 sounds, not all released.
Published (LoRA / full): ESC-50 91.8 / 94.0, VGGSound 28.9 / 38.6, AudioSet mAP 27.7 / 30.0;
  text to audio R@1: Clotho 12.1 / 16.7, AudioCaps 12.2 / 19.7.
Small, on a CPU: --config=audio:trial
"""

from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    SourceConfig,
    TrainConfig,
    as_config_dict,
    chosen,
)

# argument -> (factors, what trains of the attention: of this tower, or of its only base)
TUNING = {
    "lora": (LoraConfig(rank=16, alpha=16), r"towers/audio/blocks/attn/.*/lora_[ab]"),
    "full": (None, r"base/blocks/attn/.*"),
}


def get_config(tuning="lora"):
    lora, attention = chosen(TUNING, tuning, "configs/audio.py")
    return as_config_dict(
        TrainConfig(
            arch="ViT-L/14",
            init_from="laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
            modalities={
                "audio": ModalityRecipe(
                    text_kind="caption",
                    patch_dropout=0.1,
                    lora=lora,
                    # the original takes the first channel
                    preprocess={"mel_bins": 126, "target_frames": 1036, "mono": "mean"},
                )
            },
            trainable=(
                (attention, True),
                (r"towers/audio/(class_embed|post_norm/.*|proj/kernel)", True),
                (r"logit_(scale|bias)/audio", True),
                (r".*", False),
            ),
            batch_size=1024,
            accumulate=4,
            steps=16 * 4687,  # epochs x steps in each
            data=DataConfig(sources={"main": SourceConfig(modality="audio")}),
            optim=OptimConfig(lr=1e-3, warmup_steps=2000),
        )
    )

"""ImageBind on own data: one modality beside the pictures of the same items, or beside captions.

    lb-jax train --config=configs/imagebind.py:depth --workdir=run \\
        --config.init_from=imagebind_huge.pth --config.data.sources.main.path=my.csv

my.csv has the columns depth,image: each row a pair of files. The modality may be audio or imu, which
are bound to the column video, depth or thermal, which are bound to image, or image or video
themselves, bound to captions. Behind it, after a comma: `text` binds to the column caption instead,
as LanguageBind does; `whole` trains all of the tower instead of LoRA on its attention, as in
configs/imagebind.py:imu,whole and configs/imagebind.py:audio,text,whole.

Whole towers take the published settings (ImageBind spec 3: learning rate, decay, batch, gradient
clip, drop path; temperatures fixed). From an OpenCLIP (--config.init_from=laion/CLIP-ViT-H-14-
laion2B-s32B-b79K) the tower is drawn anew, as the original was. The image tower stays as it is.

Original: 512 pairs a step (audio 2048), 64 epochs (IMU 8); no training code was published, and
  figures of retraining are none. Published with these towers: NYU-D 54.0, LLVIP 63.4, ESC-50 66.9.
Small, on a CPU: --config=imagebind:depth,trial
"""

import itertools

from lb_jax.models.lora import LoraConfig
from lb_jax.training import config as train_config
from lb_jax.training.config import LossConfig, ModalityRecipe, OptimConfig

LORA = LoraConfig(rank=16, alpha=16)
TEMPERATURE = 0.07  # beside texts, trained as LanguageBind's

# modality -> (what it is bound to, options of its tower, batch, optimiser) as published
PUBLISHED = {
    "audio": ("video", {"drop_path": 0.1}, 2048, (1.6e-3, 0.2, 1.0, 0.05)),
    "depth": ("image", {}, 512, (1.6e-3, 0.2, 1.0, 0.2)),
    "thermal": ("image", {}, 512, (5e-4, 0.05, 5.0, 0.1)),
    "imu": ("video", {"drop_path": 0.7, "head_dropout": 0.5}, 512, (5e-4, 0.5, 1.0, 0.2)),
    "image": ("text", {}, 512, (1e-5, 0.2, 1.0, TEMPERATURE)),
    "video": ("text", {}, 512, (1e-5, 0.2, 1.0, TEMPERATURE)),
}
# what stands behind the colon -> (modality, whether to texts, whether all of the tower)
ROWS = {
    ",".join((name, *(["text"] if text else []), *(["whole"] if whole else []))): (
        name,
        text,
        whole,
    )
    for name, text, whole in itertools.product(PUBLISHED, (False, True), (False, True))
}


def trains(name, whole):
    """Rules for what trains: of stills and clips, which are one tower, that is the base."""
    tower = rf"(base|towers/{name})" if PUBLISHED[name][0] == "text" else rf"towers/{name}"
    if whole:
        return ((rf"{tower}/.*", True),)
    head = rf"{tower}/(class_embed|post_norm/.*|proj/kernel)"
    return ((rf"towers/{name}/blocks/.*/lora_[ab]", True), (head, True))


def get_config(row=""):
    name, text, whole = train_config.chosen(ROWS, row, "configs/imagebind.py")
    anchor, drops, batch_size, (lr, decay, clip, temperature) = PUBLISHED[name]
    to_text = text or anchor == "text"
    recipe = ModalityRecipe(
        anchor="text" if to_text else anchor,
        lora=None if whole else LORA,
        temperature=TEMPERATURE if to_text and anchor != "text" else 0.0,
        **(drops if whole else {}),
    )
    learns_temperature = ((rf"logit_(scale|bias)/{name}", True),) if recipe.temperature else ()
    return train_config.as_config_dict(
        train_config.TrainConfig(
            arch="imagebind_huge",
            init_from="imagebind_huge.pth",
            modalities={name: recipe},
            trainable=(*trains(name, whole), *learns_temperature, (r".*", False)),
            batch_size=batch_size if whole else 64,
            steps=10_000 if whole else 1000,
            remat="full",
            loss=LossConfig(mask_duplicates=to_text),  # captions of own data repeat
            optim=OptimConfig(
                lr=lr if whole else 1e-4,
                warmup_steps=500 if whole else 100,
                weight_decay=decay,
                clip_norm=clip,
                init_temperature=temperature,
            ),
            log_every=10,
            save_every=100,
        )
    )

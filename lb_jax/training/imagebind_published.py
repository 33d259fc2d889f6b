"""How ImageBind was trained, as far as it is known (ImageBind spec 3): one row each.

Nothing of it was published as code, and all of it is told by papers and reviews alone.
"""

import itertools
from typing import NamedTuple

from lb_jax.core.modalities import TEXT
from lb_jax.media.sensors import cameras
from lb_jax.models.lora import LoraConfig
from lb_jax.training.config import LossConfig, ModalityRecipe, OptimConfig, TrainConfig, chosen

ARCH, WEIGHTS = "imagebind_huge", "imagebind_huge.pth"
LORA = LoraConfig(rank=16, alpha=16)
# Of whole numbers in millimetres; disparity needs the camera, here Kinect's (NYU Depth v2).
PREPROCESS = {"depth": {"unit_m": 0.001, **cameras.parse("kinect")}}
TEXT_TEMPERATURE = 0.07  # beside texts, trained, as LanguageBind's


class Setting(NamedTuple):
    """How a whole tower is trained.

    Attributes:
      anchor: what it is bound to; stills and clips, which the original left as they were, to texts.
      batch: pairs in a step.
      lr, weight_decay, clip_norm: of AdamW.
      temperature: which stays what it is.
      drop_path, head_dropout: of the tower.
    """

    anchor: str
    batch: int
    lr: float
    weight_decay: float
    clip_norm: float
    temperature: float
    drop_path: float = 0.0
    head_dropout: float = 0.0


# Published: rates, decays, clips and temperatures; drop path and dropout are the model's own.
SETTINGS = {
    "audio": Setting("video", 2048, 1.6e-3, 0.2, 1.0, 0.05, drop_path=0.1),
    "depth": Setting("image", 512, 1.6e-3, 0.2, 1.0, 0.2),
    "thermal": Setting("image", 512, 5e-4, 0.05, 5.0, 0.1),
    "imu": Setting("video", 512, 5e-4, 0.5, 1.0, 0.2, drop_path=0.7, head_dropout=0.5),
    "image": Setting(TEXT, 512, 1e-5, 0.2, 1.0, TEXT_TEMPERATURE),
    "video": Setting(TEXT, 512, 1e-5, 0.2, 1.0, TEXT_TEMPERATURE),
}
# What stands behind the colon of the sheet -> (modality, whether to texts, whether all of it).
ROWS = {
    ",".join((name, *(["text"] if text else []), *(["whole"] if whole else []))): (
        name,
        text,
        whole,
    )
    for name, text, whole in itertools.product(SETTINGS, (False, True), (False, True))
}


def run(row: str, sheet: str) -> TrainConfig:
    """The run of a row of `ROWS`.

    Raises:
      ConfigError: for another row, with the nearest.
    """
    name, to_text, is_whole = chosen(ROWS, row, sheet)
    one = SETTINGS[name]
    is_own = one.anchor != TEXT  # not the tower of stills and clips
    anchor = TEXT if to_text else one.anchor
    learns_temperature = anchor == TEXT and is_own
    recipe = ModalityRecipe(
        anchor=anchor,
        lora=None if is_whole else LORA,
        drop_path=one.drop_path if is_whole else 0.0,
        head_dropout=one.head_dropout if is_whole else 0.0,
        preprocess=dict(PREPROCESS.get(name, {})),
        temperature=TEXT_TEMPERATURE if learns_temperature else 0.0,
    )
    scale = ((rf"logit_(scale|bias)/{name}", True),) if learns_temperature else ()
    return TrainConfig(
        arch=ARCH,
        init_from=WEIGHTS,
        modalities={name: recipe},
        trainable=(*_trains(name, is_own, is_whole), *scale, (r".*", False)),
        batch_size=one.batch if is_whole else 64,
        steps=10_000 if is_whole else 1000,
        remat="full",
        loss=LossConfig(mask_duplicates=anchor == TEXT),  # captions of own data repeat
        optim=OptimConfig(
            lr=one.lr if is_whole else 1e-4,
            warmup_steps=500 if is_whole else 100,
            weight_decay=one.weight_decay,
            clip_norm=one.clip_norm,
            init_temperature=one.temperature,
        ),
        log_every=10,
        save_every=100,
    )


def _trains(name: str, is_own: bool, is_whole: bool) -> tuple[tuple[str, bool], ...]:
    """Rules for what trains; the tower of stills and clips lies in the base."""
    tower = rf"towers/{name}" if is_own else rf"(base|towers/{name})"
    if is_whole:
        return ((rf"{tower}/.*", True),)
    head = rf"{tower}/(class_embed|post_norm/.*|proj/kernel)"
    return (rf"towers/{name}/blocks/.*/lora_[ab]", True), (head, True)

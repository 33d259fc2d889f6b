"""Every published setting of VALOR as a run (VALOR spec 2, 6.2 and 6.3).

One row is one model on one data set. `NAME` is VALOR-L, `NAME,base` VALOR-B. Epochs are of items,
and become steps by the corpus that is given. Where paper and code differ, these are the code's.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lb_jax.media import specs
from lb_jax.training.config import ModalityRecipe, OptimConfig, TrainConfig, chosen
from lb_jax.training.valor_config import GROUPS, ROLES, GroupingConfig, ValorRun

SEED = 50
CLIP_LR = 5e-7  # of CLIP's temperature, and of its vision tower in fine-tuning
ANSWER = 5  # words of an answer


class Model(NamedTuple):
    """A released model.

    Attributes:
      arch: a row of `models/valor_architectures.py`.
      clip_norm: largest norm of a gradient.
      is_clip: whether vision is a CLIP's, which learns slower.
      prompts: whether its texts have the prompts of their task.
      bases: what pretraining starts from. Video Swin is a file, as its authors publish it.
    """

    arch: str
    clip_norm: float
    is_clip: bool
    prompts: bool
    bases: Mapping[str, str]


_BASES = {
    "text": "google-bert/bert-base-uncased",
    "audio": "MIT/ast-finetuned-audioset-10-10-0.4593",
}
MODELS = {
    "": Model("VALOR-L", 2.0, True, True, {**_BASES, "video": "openai/clip-vit-large-patch14-336"}),
    ",base": Model(
        "VALOR-B",
        5.0,
        False,
        False,
        {**_BASES, "video": "swin_base_patch244_window877_kinetics600_22k.pth"},
    ),
}


class Setting(NamedTuple):
    """How a model is trained on a data set.

    Attributes:
      lr: highest learning rate.
      epochs: of items.
      groups: of its task; of pretraining, of all its tasks.
      frames, clips: in training, then in test; none where the groups take none.
      batch: items in a step.
      size: side of a frame, pixels.
      warmup: share of the steps.
      words: most tokens of a text.
      preprocess: what else is different about its frames.
      way: how the decoder is asked.
      answers: of a question that are learnt at once.
      clip_lr: learning rate of a CLIP's vision tower.
      mlm: whether masked words of T-V are learnt too.
    """

    lr: float
    epochs: int
    groups: tuple[str, ...]
    frames: tuple[int, int] = (4, 8)
    clips: tuple[int, int] = (2, 2)
    batch: int = 64
    size: int = 224
    warmup: float = 0.1
    words: int = 30
    preprocess: Mapping[str, object] = {}
    way: str = "masked"
    answers: int = 1
    clip_lr: float = CLIP_LR
    mlm: bool = False


_BOTH, _SEEN, _HEARD = ("tva", "tv"), ("tv",), ("ta",)
_STILL = (1, 1)


def _base(epochs: int, **others) -> Setting:
    """A data set of VALOR-B's pretraining."""
    return Setting(1e-4, epochs, batch=512, words=40, **{"frames": (4, 4), **others})


def _large(epochs: int, **others) -> Setting:
    """A data set of VALOR-L's pretraining."""
    usual = {"groups": _SEEN, "batch": 1024, "frames": _STILL, "mlm": True}
    return Setting(5e-5, epochs, words=40, clip_lr=8e-6, **{**usual, **others})


# Model -> data set -> how it is pretrained. Frames of VALOR-1M lie a second apart, of HD-VILA four.
PRETRAINING = {
    "": {
        "valor1m": _large(
            32,
            groups=GROUPS,
            batch=512,
            frames=(2, 2),
            clips=(1, 1),
            preprocess={"fps": 1.0},
            mlm=False,
        ),
        "webvid": _large(20),
        "cc3m": _large(20),
        "cc12m": _large(12),
        "coco": _large(150),
        "vg": _large(3),
        "hdvila": _large(10, preprocess={"fps": 0.25}),
    },
    ",base": {
        "valor1m": _base(20, groups=GROUPS, clips=(1, 1), preprocess={"fps": 1.0}),
        "webvid": _base(16, groups=_SEEN),
        "cc3m": _base(16, groups=_SEEN, frames=_STILL),
    },
}

# Data set -> how both models are fine-tuned on it.
RETRIEVAL = {
    "msrvtt": Setting(2e-5, 70, _BOTH, preprocess=specs.CROP_FLIP),  # the script's folder says 5
    "msvd": Setting(2e-5, 140, _SEEN),
    "lsmdc": Setting(2e-5, 5, _BOTH),
    "vatex": Setting(2e-5, 50, _BOTH),
    "didemo": Setting(9e-6, 30, _BOTH, (8, 32), (4, 8), words=65),
    "activitynet": Setting(2e-5, 40, _BOTH, (8, 32), words=74),
    "valor32k": Setting(2e-5, 10, ("tva",)),  # the config has all three groups
    "coco": Setting(2e-5, 75, _SEEN, _STILL, batch=1024, size=392),
    "audiocaps": Setting(1e-4, 10, _HEARD),
    "clotho": Setting(1e-4, 45, _HEARD, clips=(6, 6)),
}
CAPTION = {
    "msrvtt": Setting(9e-6, 100, _BOTH, (6, 10), warmup=0.05, preprocess=specs.CROP_FLIP),
    "msvd": Setting(9e-6, 100, _SEEN, (8, 12), preprocess=specs.CROP_FLIP),
    "vatex": Setting(2e-5, 100, _BOTH, (8, 20)),
    "valor32k": Setting(2e-5, 10, GROUPS),
    "coco": Setting(5e-6, 25, _SEEN, _STILL, size=392),
    "audiocaps": Setting(2e-5, 10, _HEARD),
    "clotho": Setting(2e-5, 50, _HEARD, clips=(6, 6)),
}
QA = {
    "msrvtt": Setting(2e-5, 100, _BOTH, preprocess=specs.CROP_FLIP),
    "msvd": Setting(1e-5, 250, _SEEN),
    "tgif": Setting(2e-5, 10, _SEEN),
    "music_avqa": Setting(2e-5, 25, _BOTH, clips=(4, 8)),
    "activitynet": Setting(2e-5, 100, _SEEN, (8, 16)),
    "vqav2": Setting(2e-5, 200, _SEEN, _STILL, batch=256, size=392, way="doubled", answers=10),
}


class Task(NamedTuple):
    """What a sheet trains.

    Attributes:
      rows: model -> data set -> its setting.
      sheet: its file.
      learns: fields of `GroupingConfig` that take the groups.
      alpha: weight of the alignment.
    """

    rows: Mapping[str, Mapping[str, Setting]]
    sheet: str
    learns: tuple[str, ...]
    alpha: float = 1.0


def _of_both(rows: Mapping[str, Setting]) -> Mapping[str, Mapping[str, Setting]]:
    return dict.fromkeys(MODELS, rows)


TASKS = {
    "pretrain": Task(PRETRAINING, "configs/valor_pretrain.py", ("align", "caption"), 1.5),
    "retrieval": Task(_of_both(RETRIEVAL), "configs/valor_retrieval.py", ("align",)),
    "caption": Task(_of_both(CAPTION), "configs/valor_caption.py", ("caption",)),
    "qa": Task(_of_both(QA), "configs/valor_qa.py", ("answer",)),
}


def rows(task: str) -> dict[str, tuple[Model, Setting]]:
    """What stands behind the colon of a sheet -> model and setting."""
    return {
        f"{name}{ending}": (MODELS[ending], setting)
        for ending, settings in TASKS[task].rows.items()
        for name, setting in settings.items()
    }


def run(task: str, row: str) -> TrainConfig:
    """The run of a row.

    Args:
      task: a key of `TASKS`.
      row: data set, behind it ",base" for VALOR-B.

    Raises:
      ConfigError: for another row, with the nearest.
    """
    what = TASKS[task]
    model, one = chosen(rows(task), row, what.sheet)
    grouping = GroupingConfig(
        **dict.fromkeys(what.learns, one.groups),
        mlm=_SEEN if one.mlm else (),
        alpha=what.alpha,
        way=one.way,
    )
    is_pretraining = task == "pretrain"
    counts = {"video": ("frames", one.frames), "audio": ("clips", one.clips)}
    preprocess = {
        role: {name: count[0]} for role, (name, count) in counts.items() if role in grouping.roles
    }
    if "video" in preprocess:
        preprocess["video"] |= {"size": one.size, **one.preprocess}
    return TrainConfig(
        arch=model.arch,
        init_from="" if is_pretraining else model.arch,
        modalities={role: ModalityRecipe(preprocess=one) for role, one in preprocess.items()},
        trainable=trains(grouping, prompts=model.prompts),
        steps=0,
        batch_size=one.batch,
        text_length=one.words + 2,
        seed=SEED,
        optim=OptimConfig(
            lr=one.lr,
            lr_factors=_factors(model, one, grouping),
            warmup_steps=0,
            weight_decay=0.01,
            clip_norm=model.clip_norm,
        ),
        valor=ValorRun(
            grouping=grouping,
            epochs=one.epochs,
            warmup=one.warmup,
            answer_length=ANSWER + 2,
            answers=one.answers,
            bases=dict(model.bases) if is_pretraining else {},
            trained={} if is_pretraining else dict.fromkeys(preprocess, 0),
            inference={role: counts[role][1][1] for role in preprocess},
        ),
    )


def _factors(model: Model, one: Setting, grouping: GroupingConfig) -> tuple[tuple[str, float], ...]:
    """Learning rates of what a CLIP brought, as multiples of the others'."""
    slow = {
        "video/.*": one.clip_lr if "video" in grouping.roles else None,
        "logit_scale": CLIP_LR if grouping.align else None,
    }
    found = tuple((path, lr / one.lr) for path, lr in slow.items() if lr and model.is_clip)
    return (*found, (".*", 1.0)) if found else ()


def trains(grouping: GroupingConfig, *, prompts: bool) -> tuple[tuple[str, bool], ...]:
    """Rules for what trains: all that a task of the run uses.

    What none uses has no gradient, and would only decay.

    Args:
      grouping: the tasks.
      prompts: whether texts have the prompts of their task.
    """
    idle = [
        f"({role}|align/{role}|hand_over/{role})/.*" for role in ROLES if role not in grouping.roles
    ]
    if not grouping.align:
        idle += ["align/.*", "temperature|logit_scale"]
    if not grouping.written:
        idle += [
            r"hand_over/.*",
            r"text/head/.*",
            r"text/blocks/(cross|video|audio)_(attn|norm)/.*",
        ]
    if not (prompts or grouping.answer or grouping.mlm):
        idle.append("text/prompt_embed")
    return (*((path, False) for path in idle), (".*", True))

"""Demo, MMV: small networks of sight and sound, from films that nobody labelled.

    lb-jax train --config=configs/demo_mmv.py --workdir=build/mmv \\
        --config.data.sources.main.path=build/films/train

`films` learns from what is seen and heard alone, `narrated` also from what is said in half of the
films. `lb-jax demo mmv` is films, both runs, a deflated image tower, measures and a report.
"""

from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    TrainConfig,
    as_config_dict,
    chosen,
)
from lb_jax.training.mmv_config import CORPUS, MmvRun

TEXT_WEIGHT = {"films": 0.0, "narrated": 1.0}  # what stands behind the colon
# Colours tell sounds apart here, and mirrored films would sound from the other side.
VIDEO = {"frames": 6, "fps": 3.0, "size": 48, "choice": "spread", "train_flip": 0.0}


def get_config(row="films"):
    weight = chosen(TEXT_WEIGHT, row, "configs/demo_mmv.py")
    return as_config_dict(
        TrainConfig(
            arch="MMV-demo",
            modalities={
                "video": ModalityRecipe(preprocess=VIDEO | {"augmentation": "none"}),
                "audio": ModalityRecipe(preprocess={"sample_rate_hz": 16_000}),
            },
            mmv=MmvRun(text_weight=weight, vocabulary=CORPUS, candidates=3),
            trainable=((r".*", True),),
            steps=400,
            batch_size=64,
            text_length=8,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(lr=2e-3, b2=0.999, eps=1e-8, weight_decay=0.01, warmup_steps=20),
            log_every=10,
            save_every=200,
        )
    )

"""Demo, the captioner: a small VALOR that writes of drawn films, from sight, sound or both.

    lb-jax train --config=configs/demo_caption.py --workdir=build/caption \\
        --config.data.sources.main.path=build/films/train.csv --config.valor.vocabulary=build/films

As VALOR starts from CLIP, it starts from the video tower of the demo's model; sound and words are
learnt from nothing. `lb-jax demo caption` is films, this run, captions and a report.
"""

from lb_jax.training.config import (
    DataConfig,
    ModalityRecipe,
    OptimConfig,
    TrainConfig,
    as_config_dict,
)
from lb_jax.training.valor_config import GROUPS, GroupingConfig, ValorRun


def get_config():
    return as_config_dict(
        TrainConfig(
            arch="VALOR-demo",
            modalities={
                "video": ModalityRecipe(preprocess={"choice": "spread", "fps": None}),
                "audio": ModalityRecipe(preprocess={"sample_rate_hz": 16_000, "clips": 1}),
            },
            valor=ValorRun(
                grouping=GroupingConfig(
                    align=GROUPS, caption=GROUPS, answer=GROUPS, alpha=0.1, way="doubled"
                ),
                bases={"video": "demo"},
                answer_length=3,
            ),
            trainable=((r".*", True),),
            steps=400,
            batch_size=64,
            text_length=12,
            data=DataConfig(cache="memory", threads=0),
            optim=OptimConfig(
                lr=2e-3, b2=0.98, eps=1e-6, weight_decay=0.05, warmup_steps=20, clip_norm=5.0
            ),
            log_every=10,
            save_every=200,
        )
    )

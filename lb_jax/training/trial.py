"""The trial size of a lab sheet: the same modalities and rules, about a minute on a CPU.

It starts from the demo's model, which comes with the package, so nothing is downloaded. What it
makes knows little; it shows that the data are read, that the run goes through, and its commands.
"""

import dataclasses

import ml_collections

from lb_jax.core import shipped
from lb_jax.training import config as train_config

NAME = "trial"
STEPS, BATCH_SIZE, TEXT_LENGTH = 100, 32, 24
# The input of the demo's towers: a spectrogram of 32 x 128 is 64 patches of a small tower, one of
# 112 x 1036 has 1,806, and attention takes the square of that.
PREPROCESS = {"video": {"frames": 2}, "audio": {"mel_bins": 32, "target_frames": 128}}


def of(sheet: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The trial size of a sheet's settings; single ones can still be overridden.

    Raises:
      ConfigError: for a sheet with a setting that there is not, or out of range.
    """
    cfg = train_config.from_config_dict(sheet)
    modalities = {
        name: dataclasses.replace(
            recipe,
            preprocess={**recipe.preprocess, **PREPROCESS.get(name, {})},
            patch_dropout=0.0,
            batch_size=0,
        )
        for name, recipe in cfg.modalities.items()
    }
    return train_config.as_config_dict(
        dataclasses.replace(
            cfg,
            arch="tiny",
            init_from=shipped.DEMO,
            modalities=modalities,
            batch_size=BATCH_SIZE,
            accumulate=1,
            steps=STEPS,
            text_length=TEXT_LENGTH,
            remat="none",
            data=dataclasses.replace(cfg.data, cache="memory"),
            optim=dataclasses.replace(
                cfg.optim, lr=2e-3, lr_factors=(), warmup_steps=10, weight_decay=0.05
            ),
            log_every=10,
            save_every=STEPS,
        )
    )

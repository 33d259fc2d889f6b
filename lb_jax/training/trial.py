"""The trial size of a lab sheet: the same modalities and rules, about a minute on a CPU.

Nothing is downloaded: it starts from what comes with the package, or from nothing. What it makes
knows little; it shows that the data are read, that the run goes through, and its commands.
"""

import dataclasses

import ml_collections

from lb_jax.training import config as train_config

NAME = "trial"
STEPS = 100


def of(sheet: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The trial size of a sheet's settings; single ones can still be overridden.

    Raises:
      ConfigError: for a sheet with a setting that there is not, or out of range.
    """
    from lb_jax.training import families  # loads jax, which no other sheet needs

    cfg = train_config.from_config_dict(sheet)
    small = dataclasses.replace(
        families.of(cfg).trial(cfg), steps=STEPS, remat="none", log_every=10, save_every=STEPS
    )
    return train_config.as_config_dict(small)

"""MMV with S3D-G, from films that nobody labelled: sight, sound and what is said.

    lb-jax train --config=configs/mmv_s3d.py --workdir=runs/mmv_s3d \\
        --config.data.sources.main.path=films

`films` is a folder or a manifest of films with sound. Rows behind a colon: `narrated` also learns
from narrations, by words of its own (`--config.data.sources.main.narrations=asr.json`, unless they
lie beside the films); `audioset`, `howto100m` and `howto100m_audioset` are the published settings,
the last that of the released model (`training/mmv_published.py`, which marks what is unknown):
--config.mmv.word_vectors=GoogleNews-vectors-negative300.bin.

Original: 32 to 128 TPU cores; UCF101 89.6, HMDB51 62.6, ESC-50 87.7 (linear, MMV spec 8).
Small, on a CPU: --config=mmv_s3d:trial
"""

from lb_jax.training import mmv_published
from lb_jax.training.config import as_config_dict


def get_config(row=mmv_published.USUAL):
    return as_config_dict(mmv_published.run("MMV-S3D", row, "configs/mmv_s3d.py"))

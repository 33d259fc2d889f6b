"""VALOR, captions: a trained model that writes about clips, from all groups of a data set.

    lb-jax train --config=configs/valor_caption.py:msrvtt --workdir=runs/valor_msrvtt \\
        --config.init_from=VALOR-L --config.data.sources.main.path=msrvtt

Rows: msrvtt, msvd, vatex, valor32k, coco, audiocaps, clotho (`training/published.py`), for VALOR-B
with ",base" behind. --config.init_from as in `valor_retrieval.py`.

Published, CIDEr (VALOR-B / VALOR-L): VALOR-32K 55.7 / 61.5, MSVD 162.1 / 178.5,
  MSR-VTT 66.6 / 74.0, VATEX 73.9 / 95.8 (by SCST), COCO - / 152.5 (by SCST), Clotho 42.3 / -,
  AudioCaps 74.1 / -.
Small, on a CPU: --config=valor_caption:msrvtt,trial
"""

from lb_jax.training import published
from lb_jax.training.config import as_config_dict


def get_config(row=""):
    return as_config_dict(published.run("caption", row))

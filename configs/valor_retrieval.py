"""VALOR, retrieval: a trained model whose texts find their clips, by all groups of a data set.

    lb-jax train --config=configs/valor_retrieval.py:msrvtt --workdir=runs/valor_msrvtt \\
        --config.init_from=VALOR-L --config.data.sources.main.path=msrvtt

Rows: msrvtt, msvd, lsmdc, vatex, didemo, activitynet, valor32k, coco, audiocaps, clotho
(`training/published.py`), for VALOR-B with ",base" behind. --config.init_from is a released folder,
a work directory of `valor_pretrain` or any other VALOR model.

Published, R@1 (VALOR-B / VALOR-L): VALOR-32K 67.9 / 73.2, MSR-VTT 43.0 / 54.4, DiDeMo 52.2 / 57.6,
  ActivityNet 50.5 / 63.4, LSMDC 25.1 / 31.8, VATEX 67.5 / 76.9; COCO - / 61.4;
  AudioCaps 40.1 / -, Clotho 17.5 / -.
Small, on a CPU: --config=valor_retrieval:msrvtt,trial
"""

from lb_jax.training import published
from lb_jax.training.config import as_config_dict


def get_config(row=""):
    return as_config_dict(published.run("retrieval", row))

"""VALOR, pretraining: texts aligned with sight and sound by groups, and written from them.

    lb-jax train --config=configs/valor_pretrain.py:valor1m --workdir=runs/valor_large \\
        --config.data.sources.main.path=desc_train.json

`valor1m,base` is VALOR-B, without it VALOR-L; other rows of both: webvid, cc3m, of VALOR-L also
cc12m, coco, vg, hdvila (`training/published.py`). The original draws the data set of each step, as
long as its epochs last: runs one behind the other by --config.init_from=DIR come nearest, or one
run over several `data.sources`. VALOR-B starts from Video Swin's own file:
--config.valor.bases.video=FILE. Parity of padding: --config.valor.grouping.mask=zero.

Original: 8 A100; VALOR-B 200,000 steps, VALOR-L 500,000, of all their data sets.
Small, on a CPU: --config=valor_pretrain:valor1m,trial
"""

from lb_jax.training import published
from lb_jax.training.config import as_config_dict


def get_config(row=""):
    return as_config_dict(published.run("pretrain", row))

"""VALOR, questions: a trained model that writes the answer, with the question as its prompt.

    lb-jax train --config=configs/valor_qa.py:msrvtt --workdir=runs/valor_msrvtt \\
        --config.init_from=VALOR-L --config.data.sources.main.path=msrvtt

Rows: msrvtt, msvd, tgif, music_avqa, activitynet, vqav2 (`training/published.py`), for VALOR-B with
",base" behind. --config.init_from as in `valor_retrieval.py`. A row of the corpus is a question
with its answers.

Published, accuracy (VALOR-B / VALOR-L): MSR-VTT 46.7 / 49.2, MSVD 56.4 / 60.0, TGIF 74.5 / 78.7,
  ActivityNet 44.8 / 48.6, MUSIC-AVQA 76.6 / 78.9; VQAv2 - / 78.46.
Small, on a CPU: --config=valor_qa:msrvtt,trial
"""

from lb_jax.training import published
from lb_jax.training.config import as_config_dict


def get_config(row=""):
    return as_config_dict(published.run("qa", row))

"""MMV with TSM-ResNet-50, from films that nobody labelled: sight, sound and what is said.

    lb-jax train --config=configs/mmv_tsm.py --workdir=runs/mmv_tsm \\
        --config.data.sources.main.path=films

Rows behind a colon are those of `mmv_s3d`; `,x2` behind one is the network of twice the channels
(`films,x2`).

Original: 32 to 128 TPU cores; UCF101 91.5 (x2: 91.8), HMDB51 66.7 (67.1), ESC-50 86.4 (88.9),
linear; zero-shot MSR-VTT R@1 of x2 9.3 (MMV spec 8).
Small, on a CPU: --config=mmv_tsm:trial
"""

from lb_jax.training import mmv_published
from lb_jax.training.config import as_config_dict


def get_config(row=mmv_published.USUAL):
    row, times = row.removesuffix(",x2"), "x2" if row.endswith(",x2") else ""
    return as_config_dict(mmv_published.run(f"MMV-TSM{times}", row, "configs/mmv_tsm.py"))

"""ImageBind on own data: one modality beside the pictures of the same items, or beside captions.

    lb-jax train --config=configs/imagebind.py:depth --workdir=run \\
        --config.init_from=imagebind_huge.pth --config.data.sources.main.path=my.csv

my.csv has the columns depth,image: each row a pair of files. The modality may be audio or imu,
which are bound to the column video, depth or thermal, which are bound to image, or image or video
themselves, bound to captions. Behind it, after a comma: `text` binds to the column caption instead,
as LanguageBind does; `whole` trains all of the tower instead of LoRA on its attention, as in
`imagebind.py:imu,whole` and `imagebind.py:audio,text,whole`.

Whole towers take the published settings (`training/imagebind_published.py`), temperatures fixed.
From an OpenCLIP (--config.init_from=laion/CLIP-ViT-H-14-laion2B-s32B-b79K) the tower is drawn anew,
as the original was; the towers of pictures and texts stay as they are.

Original: 512 pairs a step (audio 2048), 64 epochs (IMU 8); how its code trained is not published.
Published with its towers: NYU-D 54.0, LLVIP 63.4, ESC-50 66.9, Ego4D 25.0 (ImageBind spec 7.1).
Small, on a CPU: --config=imagebind:depth,trial
"""

from lb_jax.training import imagebind_published
from lb_jax.training.config import as_config_dict


def get_config(row=""):
    return as_config_dict(imagebind_published.run(row, "configs/imagebind.py"))

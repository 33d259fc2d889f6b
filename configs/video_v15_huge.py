"""Video 1.5, ViT-H/14: as `video_v15.py`, with a larger base and layers computed again.

    lb-jax train --config=configs/video_v15_huge.py --workdir=runs/video_v15_huge \\
        --config.data.sources.main.path=vidal.json

Original: 64 GPUs x 16 clips = 1024; 6 epochs of 10,076,613 clips of VIDAL.
Published (LanguageBind_Video_Huge_V1.5_FT), text to video R@1: MSR-VTT 44.8, MSVD 53.9 (53.7 in
  the README), DiDeMo 39.9, ActivityNet 41.0.
Small, on a CPU: --config=video_v15_huge:trial
"""

from lb_jax.configs import video_v15


def get_config():
    config = video_v15.get_config()
    config.arch = "ViT-H/14"
    config.init_from = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    config.remat = "full"
    config.accumulate = 1
    return config

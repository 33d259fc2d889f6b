"""The corpus of `lb-jax corpus demo`: drawn films, some of them with faults.

    lb-jax corpus run --config=configs/corpus_demo.py --out=corpus --config.source.path=raw.json

What differs from corpus_vidal: no `titles`, since few words make many equal ones; no `nudity` and
`speech`, since nobody is drawn and nobody speaks; pictures of 192 px; cuts by brightness alone,
since the rooms are grey; the demo's model.
"""

from lb_jax.builder.filters.agreement import Agreement
from lb_jax.builder.filters.cuts import Cuts
from lb_jax.builder.filters.overlay import Overlay
from lb_jax.builder.filters.resolution import Resolution
from lb_jax.builder.sheet import CorpusConfig, as_config_dict


def get_config():
    return as_config_dict(
        CorpusConfig(
            stages=(
                *("title_length", "language", "word_list", "duration", "resolution", "aspect"),
                *("frame_rate", "silence", "clipping", "black", "still", "cuts", "overlay"),
                *("copies", "agreement"),
            ),
            resolution=Resolution(smallest_px=128),
            cuts=Cuts(most=0, threshold=22.0, luma_only=True, shortest_frames=3),
            overlay=Overlay(pictures=1, share=1.0, side_px=192),
            agreement=Agreement(model="demo", modalities=("video",), least=0.1),
        )
    )

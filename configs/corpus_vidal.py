"""A corpus in VIDAL's form: short films with a title, sound and one shot, in English.

    lb-jax corpus run --config=configs/corpus_vidal.py --out=corpus --config.source.path=raw.json

Thresholds: its authors published none (LanguageBind spec 8.2); these are ours.
Hardware: one core does some films a second; reading writing off pictures takes most of it.
"""

from lb_jax.builder.filters.agreement import Agreement
from lb_jax.builder.filters.cuts import Cuts
from lb_jax.builder.filters.duration import Duration
from lb_jax.builder.filters.language import Language
from lb_jax.builder.filters.resolution import Resolution
from lb_jax.builder.filters.silence import Silence
from lb_jax.builder.filters.title_length import TitleLength
from lb_jax.builder.sheet import CorpusConfig, as_config_dict


def get_config():
    return as_config_dict(
        CorpusConfig(
            stages=(
                *("title_length", "language", "word_list", "titles"),
                *("duration", "resolution", "aspect", "frame_rate", "silence", "clipping"),
                *("black", "still", "cuts", "speech", "overlay", "nudity", "copies", "agreement"),
            ),
            title_length=TitleLength(fewest_words=3, most_words=60),
            language=Language(wanted=("en",), least=0.3),
            duration=Duration(shortest_s=2.0, longest_s=20.0),
            resolution=Resolution(smallest_px=224),
            silence=Silence(quietest_db=-60.0, required=True),
            cuts=Cuts(most=0, threshold=27.0),
            agreement=Agreement(
                model="LanguageBind/LanguageBind_Video_FT", modalities=("video",), least=0.1
            ),
        )
    )

"""A corpus of sounds with titles and no pictures, such as those of Freesound.

    lb-jax corpus collect --config=corpus_sounds --out=sounds --config.collect.terms=terms.parquet
    lb-jax corpus run --config=configs/corpus_sounds.py --out=corpus --config.source.path=raw.json

What differs from corpus_vidal: the stages of titles and of sound alone; titles may be two words.
Thresholds are ours.
"""

from lb_jax.builder.collecting.settings import Collect
from lb_jax.builder.filters.duration import Duration
from lb_jax.builder.filters.language import Language
from lb_jax.builder.filters.silence import Silence
from lb_jax.builder.filters.speech import Speech
from lb_jax.builder.filters.title_length import TitleLength
from lb_jax.builder.sheet import CorpusConfig, as_config_dict


def get_config():
    return as_config_dict(
        CorpusConfig(
            stages=(
                *("title_length", "language", "word_list", "titles"),
                *("duration", "silence", "clipping", "speech"),
            ),
            collect=Collect(sources=("freesound",)),
            title_length=TitleLength(fewest_words=2, most_words=60),
            language=Language(wanted=("en",), least=0.3),
            duration=Duration(shortest_s=1.0, longest_s=20.0),
            silence=Silence(quietest_db=-60.0, required=True),
            speech=Speech(most=0.5),
        )
    )

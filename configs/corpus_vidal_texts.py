r"""A corpus in VIDAL's form with its texts in many views, by models that you name.

    lb-jax corpus run --config=configs/corpus_vidal_texts.py --out=corpus \
        --config.source.path=raw.json --config.mplug.model=VALOR --config.sound_mplug.model=VALOR \
        --config.ofa.model=VALOR --config.polish_mplug.base_url=http://127.0.0.1:8000/v1 \
        --config.polish_mplug.model=NAME

Filters as in corpus_vidal. The captioner that comes with the package, which is taken where none is
named, writes only of films that the demo draws. `--config.ofa.model=transformers:NAME` takes a
model of that library for single pictures. The key of the server is in OPENAI_API_KEY.
"""

import dataclasses

from lb_jax.builder.sheet import as_config_dict, from_config_dict
from lb_jax.builder.texts.mplug import Mplug
from lb_jax.builder.texts.ofa import Ofa
from lb_jax.builder.texts.polish_mplug import PolishMplug
from lb_jax.builder.texts.sound_mplug import SoundMplug
from lb_jax.configs import corpus_vidal


def get_config():
    vidal = from_config_dict(corpus_vidal.get_config())
    return as_config_dict(
        dataclasses.replace(
            vidal,
            stages=(*vidal.stages, "ofa", "mplug", "sound_mplug", "polish_mplug"),
            ofa=Ofa(beam=5, no_repeat_ngram=3),
            mplug=Mplug(beam=3, longest=30),
            sound_mplug=SoundMplug(beam=3, longest=30),
            polish_mplug=PolishMplug(
                base_url="http://127.0.0.1:8000/v1",
                temperature=0.0,
                most_words=50,
                wanted=("en",),
                asks=3,
                required=False,
                per_minute=60.0,
                in_flight=4,
            ),
        )
    )

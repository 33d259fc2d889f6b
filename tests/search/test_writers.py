"""Who wrote a caption is said as it always was: what a run before wrote is gone on with."""

import types

import numpy as np

from lb_jax.models.generation import Decoding
from lb_jax.search import writers

MODEL = types.SimpleNamespace(digest="d" * 64, dtype=np.float32, source="s")
KEY = "989f76a4a4b9c4f65bc7dacc632b83ad68b34f50cd2a19b93e2cbb840bd28c21"
LINE = (
    "model=dddddddddddddddd dtype=float32 group=ta beams=3 longest=9 shortest=0 "
    "length_penalty=0.0 no_repeat_ngram=0"
)


def test_who_writes_is_said_as_before():
    found = writers.captioner_of(MODEL, Decoding())
    assert (found.key, found.source) == (KEY, "s")
    assert writers.line_of(MODEL, Decoding(longest=9), "ta") == LINE
    assert "group=any" in writers.line_of(MODEL, Decoding(), None)


def test_another_model_type_or_option_is_another_writer():
    others = [
        (types.SimpleNamespace(**{**vars(MODEL), "digest": "e" * 64}), Decoding()),
        (types.SimpleNamespace(**{**vars(MODEL), "dtype": np.float16}), Decoding()),
        (MODEL, Decoding(beams=1)),
    ]
    for one in others:
        assert writers.captioner_of(*one).key != KEY
        assert writers.line_of(*one, "ta") != writers.line_of(MODEL, Decoding(), "ta")

"""What a decoder of the server answers when it fails."""

import numpy as np
import pytest

from lb_jax.media import specs
from lb_jax.serve import decoding
from lb_jax.serve.limits import Limits, Refusal
from tests.media import media_files


def test_a_fault_of_ours_is_not_the_fault_of_the_file(capfd):
    picture = media_files.picture(np.zeros((40, 40, 3), np.uint8))
    spec, sound = specs.preset("image"), specs.preset("audio")
    pool = decoding.Pool(Limits(), 1)
    try:
        with pytest.raises(Refusal, match="server failed on this file; see its log") as caught:
            pool._work(decoding.Job("no such task", "image", spec, picture))
        assert (caught.value.code, caught.value.status) == ("internal_error", 500)
        log = capfd.readouterr().err
        assert log.startswith("Traceback (most recent call last):")
        assert log.endswith("KeyError: 'no such task'\n")
        assert pool._work(decoding.Job("preprocess", "image", spec, picture)).shape == (224, 224, 3)
        with pytest.raises(Refusal, match="has no audio track") as caught:
            pool._work(decoding.Job("preprocess", "audio", sound, media_files.clip()))
        assert (caught.value.code, caught.value.status) == ("missing_modality", 422)
        assert pool.restarts == 0
    finally:
        pool.close()

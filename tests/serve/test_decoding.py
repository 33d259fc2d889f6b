"""What a decoder of the server answers when it fails."""

import numpy as np
import pytest

from lb_jax.media import specs
from lb_jax.serve import decoding
from lb_jax.serve.limits import Limits, Refusal
from tests.media import media_files, motion


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


def test_motion_is_read_and_drawn_in_the_cage():
    t, readings = motion.swaying(seconds=20)
    said = "t,ax [m/s2],ay,az,gx [rad/s],gy,gz"
    spec = specs.preset("imu")
    told = {"rate_hz": 100, "accel_unit": "m/s2", "gyro_unit": "rad/s"}
    files = (
        motion.table(t, readings, said),
        motion.columnar(t, readings, **told),
        motion.archive(imu=readings, **told),
    )
    pool = decoding.Pool(Limits(), 1)
    try:
        arrays = [pool._work(decoding.Job("preprocess", "imu", spec, file)) for file in files]
        for array in arrays:
            assert array.shape == (2000, 6)
            np.testing.assert_allclose(array, arrays[0], atol=1e-4)
        drawn = [
            pool._work(decoding.Job("thumbnail", "imu", spec, files[0], start_s))
            for start_s in (0.0, 10.0, 19.0)
        ]
        assert all(one.startswith(b"\xff\xd8") for one in drawn)
        assert len(set(drawn)) == 3
        swapped = motion.table(t, readings[:, [3, 4, 5, 0, 1, 2]], said)
        with pytest.raises(Refusal, match="the columns are swapped"):
            pool._work(decoding.Job("preprocess", "imu", spec, swapped))
        assert pool.restarts == 0
    finally:
        pool.close()

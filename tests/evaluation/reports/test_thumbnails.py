"""Small pictures of media files of any modality."""

import cv2
import numpy as np
import pytest

from lb_jax.core import notices
from lb_jax.evaluation.reports import thumbnails
from lb_jax.media import clips
from tests.media import motion


@pytest.mark.parametrize("modality", ["image", "video", "depth", "thermal", "audio"])
def test_every_modality_has_a_thumbnail(media_corpus, modality):
    path = next((media_corpus / modality).glob("item3.*"))
    picture = thumbnails.draw(modality, clips.Clip(path))
    assert picture.shape == (thumbnails.SIDE_PX, thumbnails.SIDE_PX, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 10


def test_motion_is_drawn_as_curves(tmp_path):
    t, readings = motion.swaying(seconds=2)  # less than a window is drawn too
    (tmp_path / "a.csv").write_bytes(motion.table(t, readings))
    with notices.collected():
        picture = thumbnails.draw("imu", clips.Clip(tmp_path / "a.csv"))
        again = thumbnails.data_uri_of("imu", (readings, 100))
    assert picture.shape == (thumbnails.SIDE_PX, thumbnails.SIDE_PX, 3)
    assert picture.std() > 10
    assert again.startswith("data:image/jpeg;base64,")


def test_depth_thumbnails_show_near_bright_and_no_reading_black(tmp_path):
    metres = np.repeat([[1000, 9000, 0]], 90, axis=0).repeat(30, axis=1).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "d.png"), metres)
    near, far, missing = (
        thumbnails.draw("depth", clips.Clip(tmp_path / "d.png"))[50, [10, 56, 100]]
        .astype(int)
        .sum(axis=1)
    )
    assert near > far > missing == 0

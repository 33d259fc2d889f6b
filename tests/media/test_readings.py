"""What a decoding process makes of a file: windows of each modality, or the whole as one item."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import items, preprocess, readings, specs
from tests.inference.fake import SPECS
from tests.media import media_files

WHOLE = {name: specs.preset(name, "valor") for name in ("video", "audio")}
GROUPS = {"tva": ("video", "audio"), "tv": ("video",), "ta": ("audio",)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    content = {
        "loud.mp4": media_files.clip(sound=True),
        "silent.mp4": media_files.clip(rough=True),
        "rain.wav": media_files.sound(media_files.noise(16000)),
        "scene.png": media_files.picture(media_files.scene()),
    }
    for name, one in content.items():
        (root / name).write_bytes(one)
    return root


@pytest.mark.parametrize(
    ("name", "asked", "group"),
    [
        ("loud.mp4", ("tva", "tv"), "tva"),
        ("loud.mp4", ("tv", "tva"), "tv"),
        ("loud.mp4", ("ta",), "ta"),
        ("silent.mp4", ("tva", "tv"), "tv"),
        ("rain.wav", ("tva", "tv", "ta"), "ta"),
        ("scene.png", ("tva", "tv"), "tv"),
    ],
)
def test_a_file_is_one_item_of_the_first_group_it_has_all_of(files, name, asked, group):
    reading = readings.Groups(WHOLE, GROUPS)
    path = files / name
    assert reading.having(str(path), asked) == (group,)
    for media in (str(path), path.read_bytes()):
        (found,) = reading.arrays(media, group, "")
        assert (found.modality, found.times) == (group, (None,))
        (item,) = found.values
        wanted = {one: WHOLE[one] for one in GROUPS[group]}
        expected = items.preprocess(items.of_file(path), wanted).arrays
        assert item.keys() == expected.keys()
        for modality, array in item.items():
            np.testing.assert_array_equal(array, expected[modality])


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("silent.mp4", ("ta",), "is a film without a sound track, and ta needs audio"),
        ("rain.wav", ("tva", "tv"), "has audio, and tva needs video and audio or tv needs video"),
        ("scene.png", ("ta",), "has video, and ta needs audio"),
    ],
)
def test_what_it_does_not_have_is_told(files, name, asked, message):
    with pytest.raises(errors.DataError, match=message):
        readings.Groups(WHOLE, GROUPS).having(str(files / name), asked)


def test_each_modality_comes_by_itself_and_long_ones_in_windows(files):
    reading = readings.Windows(SPECS, 0.5, 0.5)
    assert reading.having(str(files / "silent.mp4"), ("video", "audio")) == ("video",)
    assert reading.having(str(files / "loud.mp4"), ("video", "audio")) == ("video", "audio")
    (found,) = reading.arrays(str(files / "rain.wav"), "audio", "")
    assert found.times == ((0.0, 0.5), (0.5, 1.0))
    (still,) = reading.arrays(str(files / "scene.png"), "image", "")
    assert still.times == (None,)
    expected = preprocess.preprocess("image", files / "scene.png", SPECS["image"])
    np.testing.assert_array_equal(still.values, expected)

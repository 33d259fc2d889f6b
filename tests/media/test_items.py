"""Items of several modalities: a film is its own sound, and what is absent is said to be."""

import dataclasses
import warnings

import numpy as np
import pytest

from lb_jax.core import errors, notices
from lb_jax.media import items, preprocess, specs, tracks
from tests.media import media_files, motion

SPECS = {
    "video": specs.VideoSpec(
        frames=2, size=8, choice="chunks", shape="stretch", train_crop="centre"
    ),
    "audio": specs.AudioSpec(
        sample_rate_hz=None, mel_bins=8, target_frames=16, layout="slices", clips=3
    ),
}
SILENT, LOUD = media_files.clip(), media_files.clip(sound=True)


@pytest.mark.parametrize("modality", list(specs.SPECS))
@pytest.mark.parametrize("preset", ["default", "valor", "imagebind"])
def test_the_shape_of_an_array_is_that_of_its_spec(modality, preset):
    made = {
        "image": lambda: media_files.picture(media_files.scene()),
        "thermal": lambda: media_files.picture(media_files.scene()[..., 0]),
        "depth": lambda: media_files.picture(np.arange(500, 2900, dtype=np.uint16).reshape(40, 60)),
        "video": lambda: SILENT,
        "audio": lambda: media_files.sound(media_files.noise(20000)),
        "imu": lambda: motion.table(*motion.swaying()),
        "text": lambda: "a cat",
    }
    spec = specs.preset(modality, preset)
    if isinstance(spec, specs.DepthSpec):  # of a disparity
        spec = dataclasses.replace(spec, focal_px=500.0)
    if modality == "text" and preset == "valor":
        assert specs.shape(spec) == (spec.context,)
    else:
        array = preprocess.preprocess(modality, made[modality](), spec)[0]
        assert array.shape == specs.shape(spec)


def test_a_film_is_pictures_and_sound():
    found = items.preprocess(items.of_file(LOUD), SPECS)
    assert found.present == {"video": True, "audio": True}
    for name, spec in SPECS.items():
        np.testing.assert_array_equal(
            found.arrays[name], preprocess.preprocess(name, LOUD, spec)[0]
        )


def test_a_silent_film_has_no_sound_and_says_so():
    with notices.collected() as told:
        found = items.preprocess(items.of_file(SILENT), SPECS, names={"audio": "a.mp4"})
    assert found.present == {"video": True, "audio": False}
    assert found.arrays["audio"].shape == specs.shape(SPECS["audio"])
    assert not found.arrays["audio"].any()
    assert [str(one) for one in told] == [
        "a.mp4: is a film without a sound track; taken as an item without audio"
    ]
    with pytest.raises(errors.MissingError, match="without a sound track; expected audio"):
        items.preprocess({"audio": SILENT}, {"audio": SPECS["audio"]})


def test_what_an_item_does_not_name_is_absent_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = items.preprocess({"video": LOUD}, SPECS)
    assert found.present == {"video": True, "audio": False}


def test_what_cannot_be_decoded_is_an_error():
    sound = media_files.sound(media_files.noise(16000), format="FLAC")
    for media in ({"video": LOUD, "audio": sound[:2000]}, {"video": LOUD[:900], "audio": LOUD}):
        with pytest.raises(errors.DataError):
            items.preprocess(media, SPECS)
    with pytest.raises(errors.DataError, match="has no media; expected video or audio"):
        items.preprocess({}, SPECS)


def test_what_an_item_lacks_is_another_error_than_what_cannot_be_read():
    with pytest.raises(errors.MissingError, match="without a sound track, and ta needs audio"):
        items.first_group(items.of_file(SILENT), {"ta": ["audio"]})
    with pytest.raises(errors.MissingError, match="has no audio track"):
        preprocess.preprocess("audio", SILENT, SPECS["audio"])
    named = errors.MissingError("a", "has none").renamed("b")
    assert (type(named), str(named)) == (errors.MissingError, "b: has none")


def test_a_broken_picture_is_told_as_one(tmp_path):
    film = {"video": SPECS["video"]}
    whole = media_files.picture(media_files.scene())
    for content, reason in {b"none": "is not a readable", whole[:999]: "is damaged or cut"}.items():
        (tmp_path / "a.png").write_bytes(content)
        for media in (content, tmp_path / "a.png"):
            with pytest.raises(errors.DataError, match=f": {reason}") as caught:
                items.preprocess(items.of_file(media), film)
            assert not isinstance(caught.value, errors.MissingError)
    with pytest.raises(
        errors.DataError, match=r"is not a readable image.*; and it is no video file"
    ):
        items.of_file(b"none")
    (tmp_path / "a.mp4").write_bytes(b"none")
    with pytest.raises(errors.DataError, match=r"a.mp4: is no video file"):
        items.of_file(tmp_path / "a.mp4")


def test_a_picture_that_ffmpeg_does_not_know_is_a_film_of_one_frame(monkeypatch):
    picture = media_files.picture(media_files.scene())
    expected = items.preprocess(items.of_file(picture), {"video": SPECS["video"]})

    def unknown(*_):
        raise tracks.NoContainer("a", "is no video file")

    monkeypatch.setattr(tracks, "_opened", unknown)
    found = items.preprocess(items.of_file(picture), {"video": SPECS["video"]})
    assert (found.arrays["video"] == expected.arrays["video"]).all()


def test_silence_is_no_sound_where_that_is_asked():
    quiet = media_files.sound(np.zeros(16000, np.float32))
    media = {"video": media_files.animation(), "audio": quiet}
    assert items.preprocess(media, SPECS).present["audio"]
    still = {"video": np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)}
    with pytest.warns(errors.DataWarning, match="is silent .*; taken as an item without audio"):
        found = items.preprocess(still | {"audio": quiet}, SPECS, refuses_empty=True)
    assert found.present == {"video": True, "audio": False}
    with pytest.raises(errors.DataError, match="is silent"):
        items.preprocess({"audio": quiet}, SPECS, refuses_empty=True)


@pytest.mark.parametrize(
    ("name", "content", "held"),
    [
        ("a.mp4", LOUD, ["video", "audio"]),
        ("a.wav", b"", ["audio"]),
        ("a.jpg", b"", ["video"]),
        ("a.bin", LOUD, ["video", "audio"]),
        ("a.bin", media_files.sound(media_files.noise(16000)), ["audio"]),
        ("a.bin", media_files.picture(media_files.scene(), "JPEG"), ["video"]),
    ],
)
def test_what_a_file_is_is_told_by_its_ending_or_content(name, content, held, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert list(items.of_file(tmp_path / name)) == held
    if content:
        assert list(items.of_file(content)) == held


def test_what_is_no_file_is_told_by_its_kind(tmp_path):
    assert list(items.of_file((media_files.noise(9), 16000))) == ["audio"]
    for clip in (tmp_path, [tmp_path / "0.jpg"], np.zeros((2, 4, 4, 3), np.uint8)):
        assert list(items.of_file(clip)) == ["video"]


def test_items_stand_side_by_side():
    both = items.preprocess(items.of_file(LOUD), SPECS)
    one = items.preprocess({"video": LOUD}, SPECS)
    arrays, present = items.stack([both, one])
    assert {name: array.shape for name, array in arrays.items()} == {
        name: (2, *specs.shape(spec)) for name, spec in SPECS.items()
    }
    assert present.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("choice", ["spread", "chunks", "run"])
def test_a_picture_is_a_film_of_one_frame_whatever_chooses_frames(choice):
    spec = dataclasses.replace(SPECS["video"], choice=choice)
    picture = media_files.picture(media_files.scene())
    found = items.preprocess(items.of_file(picture), {"video": spec})
    first, second = found.arrays["video"]
    assert found.present == {"video": True}
    np.testing.assert_array_equal(first, second)

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lb_jax.core import errors, modalities
from lb_jax.media import fbank, preprocess, specs
from tests import goldens
from tests.media import media_files, motion, sounds

GOLDEN = goldens.FOLDER / "preprocess"
PICTURE_TOLERANCE = 4e-3
MEL_TOLERANCE = 2e-3

ITEMS = {
    "image": lambda: media_files.picture(
        np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    ),
    "thermal": lambda: media_files.picture(
        np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8), "JPEG"
    ),
    "depth": lambda: media_files.picture(
        np.random.default_rng(0).integers(500, 9000, (40, 60)).astype(np.uint16)
    ),
    "video": media_files.clip,
    "audio": lambda: media_files.sound(media_files.noise(20000)),
    "imu": lambda: motion.table(*motion.swaying()),
    "text": lambda: "a cat",
}
SHAPES = {
    "image": (224, 224, 3),
    "thermal": (224, 224, 3),
    "depth": (224, 224, 3),
    "video": (8, 224, 224, 3),
    "audio": (112, 1036, 3),
    "imu": (2000, 6),
    "text": (77,),
}


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.exists():
        pytest.skip(f"no reference numbers at {GOLDEN}; set LB_JAX_GOLDENS")
    return {**np.load(GOLDEN / "preprocess_vision.npz"), **np.load(GOLDEN / "preprocess_audio.npz")}


def _media(modality):
    return sorted((GOLDEN / "media").glob(f"{modality}_*"))


def _number(path):
    return path.stem.rsplit("_", 1)[1]


@pytest.mark.golden
@pytest.mark.parametrize(("preset", "infix"), [("default", ""), ("reference", "noaa_")])
@pytest.mark.parametrize("modality", ["image", "thermal", "depth"])
def test_pictures_match_the_reference(golden, modality, preset, infix):
    assert _media(modality)
    for path in _media(modality):
        expected = np.moveaxis(
            golden[f"{modality}_{infix}{_number(path)}"].astype(np.float32), 0, -1
        )
        out = preprocess.preprocess(modality, path, preset=preset)[0]
        assert np.abs(out - expected).max() <= PICTURE_TOLERANCE


@pytest.mark.golden
def test_clips_match_the_reference(golden):
    assert _media("video")
    for path in _media("video"):
        expected = np.moveaxis(golden[f"video_out_{_number(path)}"].astype(np.float32), 0, -1)
        spec = specs.VideoSpec(frames=len(expected))
        assert (
            np.abs(preprocess.preprocess("video", path, spec)[0] - expected).max()
            <= PICTURE_TOLERANCE
        )


@pytest.mark.golden
def test_log_mel_matches_the_reference(golden):
    floor = np.log(fbank.FLOOR) + 1e-3
    for key in (k for k in golden if k.startswith("audio_w16_")):
        wave, expected = golden[key][0], golden[key.replace("w16", "mel")]
        out = fbank.log_mel(wave, 16000, expected.shape[1])
        assert out.shape == expected.shape
        energy, rounding = sounds.mel_energy(wave, 16000, expected.shape[1])
        assert np.abs(out - np.log(np.maximum(energy, fbank.FLOOR))).max() <= 2e-6
        # The reference transforms in float32: where a filter holds far less than its frame, what it
        # gives is known only to the rounding of the frame.
        bar = np.maximum(MEL_TOLERANCE, 2 * rounding / np.sqrt(np.maximum(energy, fbank.FLOOR)))
        assert (np.abs(out - expected) <= bar)[expected > floor].all()


@pytest.mark.golden
@pytest.mark.parametrize("preset", ["default", "reference"])
def test_sound_matches_the_reference(golden, preset):
    for path in _media("audio"):
        expected = np.moveaxis(golden[f"audio_out_{_number(path)}"], 0, -1)
        spec = specs.preset("audio", preset)
        if len(golden[f"audio_mel_{_number(path)}"]) > spec.target_frames:
            continue  # the reference drew its crops at random
        told = soundfile.info(path)
        if preset == "default" and (told.channels, told.samplerate) != (1, spec.sample_rate_hz):
            continue  # it mixes all channels and resamples with soxr, the reference does not
        assert (
            np.abs(preprocess.preprocess("audio", path, spec)[0] - expected).max() <= MEL_TOLERANCE
        )


def test_every_modality_has_a_row():
    assert list(preprocess.MODULES) == [*modalities.MODALITIES, modalities.TEXT]


@pytest.mark.parametrize("modality", list(ITEMS))
def test_a_single_item_is_a_batch_of_one(modality):
    out = preprocess.preprocess(modality, ITEMS[modality]())
    assert out.shape == (1, *SHAPES[modality])
    assert out.dtype == (np.int32 if modality == "text" else np.float32)


@pytest.mark.parametrize("modality", list(ITEMS))
def test_the_batch_does_not_change_an_item(modality):
    item = ITEMS[modality]()
    alone = preprocess.preprocess(modality, item)
    together = preprocess.preprocess(modality, [item, item])
    np.testing.assert_array_equal(together, np.concatenate([alone, alone]))


def test_kinds_of_media_may_be_mixed(tmp_path):
    data = ITEMS["image"]()
    path = tmp_path / "a.png"
    path.write_bytes(data)
    array = preprocess.decode("image", data, specs.ImageSpec())
    out = preprocess.preprocess("image", [data, path, str(path), array])
    np.testing.assert_array_equal(out, np.repeat(out[:1], 4, axis=0))


def test_samples_with_a_rate_are_one_sound():
    assert preprocess.preprocess("audio", (media_files.noise(16000), 16000)).shape == (
        1,
        112,
        1036,
        3,
    )


def test_a_clip_of_pictures_is_a_list_in_the_list():
    pictures = [ITEMS["image"]()] * 3
    assert preprocess.preprocess("video", [pictures, pictures]).shape == (2, 8, 224, 224, 3)


def test_mistakes_are_named():
    with pytest.raises(errors.ConfigError, match="Did you mean 'video'"):
        preprocess.preprocess("vidoe", "a.mp4")
    with pytest.raises(errors.ConfigError, match="Did you mean 'reference'"):
        preprocess.preprocess("image", "a.png", preset="referense")
    with pytest.raises(errors.ConfigError, match="AudioSpec, expected ImageSpec"):
        preprocess.preprocess("image", "a.png", specs.AudioSpec())
    with pytest.raises(errors.DataError, match="at least one item"):
        preprocess.preprocess("image", [])


def test_jax_is_not_imported():
    code = (
        "import sys, lb_jax.media.preprocess, lb_jax.corpora.vidal; sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Large enough for every fast way: bands, blocks, phases, frames left out.
LARGE = {
    "image": lambda: media_files.picture(media_files.scene(700, 901), "JPEG"),
    "thermal": lambda: media_files.picture(media_files.scene(480, 640)[..., 0], "JPEG"),
    "depth": lambda: media_files.picture(
        media_files.scene(481, 640)[..., 0].astype(np.uint16) * 20
    ),
    "video": lambda: media_files.clip(60, rough=True),
    "audio": lambda: media_files.sound(media_files.noise(200_000).reshape(-1, 2), 44100),
    "imu": lambda: motion.table(*motion.swaying(1000.0, 60)),
    "text": lambda: "a cat & a dog – both asleep" * 9,
}


def _spec(modality, preset):
    spec = specs.preset(modality, preset)
    is_depth = isinstance(spec, specs.DepthSpec)
    return dataclasses.replace(spec, focal_px=500.0) if is_depth else spec  # of a disparity


def _digests(order, preset):
    """Returns modality -> hash of its array, read from files in this folder."""
    found = {}
    for modality in order:
        media = Path(modality)
        item = media.read_text() if modality == "text" else media
        array = preprocess.preprocess(modality, item, _spec(modality, preset))
        found[modality] = hashlib.sha256(array.tobytes()).hexdigest()
    return found


@pytest.mark.parametrize("preset", ["default", "reference", "imagebind"])
def test_arrays_are_bitwise_the_same_in_any_process_order_and_batch(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(LARGE) == set(preprocess.MODULES)
    for modality, make in LARGE.items():
        data = make()
        Path(modality).write_bytes(data.encode() if modality == "text" else data)
    here = _digests(LARGE, preset)
    assert _digests(reversed(LARGE), preset) == here
    code = (
        f"import json; from tests.media import test_preprocess as t; "
        f"print(json.dumps(t._digests({list(LARGE)[::-1]}, {preset!r})))"
    )
    for threads in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), threads)
        there = subprocess.run(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, check=True
        )
        assert json.loads(there.stdout) == here
    for modality in LARGE:
        item = Path(modality).read_text() if modality == "text" else Path(modality)
        spec = _spec(modality, preset)
        three = preprocess.preprocess(modality, [item, ITEMS[modality](), item], spec)
        for array in (three[0], three[2]):
            assert hashlib.sha256(array.tobytes()).hexdigest() == here[modality]

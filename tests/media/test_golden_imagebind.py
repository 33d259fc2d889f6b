"""ImageBind's own loaders on real files and on synthetic sound; sizes are those of the arrays.

Depth, thermal and motion have no loader there, so nothing is compared of them.
"""

import dataclasses
import json

import numpy as np
import pytest

from lb_jax.media import audio, preprocess, samples, specs, video, views
from lb_jax.media import clock as clock_lib
from lb_jax.text import tokenizer
from tests import goldens

FOLDER = goldens.FOLDER / "imagebind"
MEDIA = goldens.FOLDER / "preprocess" / "media"
PRESETS = ("imagebind", "imagebind_reference")
# Half precision of normalised values up to 2.7; Pillow's resize itself is exact.
PICTURE_TOLERANCE = 2e-3
# Rounding of the reference's float32 filter bank, loud and near the floor of the logarithm.
LOUD, LOUD_TOLERANCE, QUIET_TOLERANCE = -0.85, 3e-4, 2e-3
LEAKS = 2e-4  # frames that the in-place mean of the original changes by more are left out

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(
        not (FOLDER / "preprocess.npz").exists(),
        reason=f"no reference numbers at {FOLDER}; set LB_JAX_GOLDENS",
    ),
]


@pytest.fixture(scope="module")
def arrays():
    return dict(np.load(FOLDER / "preprocess.npz"))


@pytest.fixture(scope="module")
def told():
    return json.loads((FOLDER / "preprocess.json").read_text("utf-8"))


def numbered(arrays, kind, what=""):
    """Names of the items of a kind that have such an array: `video_0`."""
    found = sorted(key for key in arrays if key.startswith(f"{kind}_") and key.endswith(what))
    return ["_".join(key.split("_")[:2]) for key in found]


def file_of(name):
    [path] = MEDIA.glob(f"{name}.*")
    return path


def clip_s(film, spec):
    """Seconds of a window, as where the last one begins tells them."""
    last_s = film["starts"][-1]
    return round(film["duration"] - last_s, 6) if last_s > 0 else spec.clip_s


def changed(modality, preset, **fields):
    return dataclasses.replace(specs.preset(modality, preset), **fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_stills_are_resized_as_pillow_resizes_bytes(arrays, preset):
    names = numbered(arrays, "image")
    assert names
    for name in names:
        expected = np.moveaxis(arrays[name].astype(np.float32), 0, -1)
        spec = changed("image", preset, size=len(expected))
        [found] = preprocess.preprocess("image", file_of(name), spec)
        assert np.abs(found - expected).max() <= PICTURE_TOLERANCE


@pytest.mark.parametrize("preset", PRESETS)
def test_views_of_a_film_are_those_of_the_reference(arrays, told, preset):
    names = numbered(arrays, "video", "_index")
    assert names
    for name in names:
        clips, frames = arrays[f"{name}_index"].shape
        whole = next(key for key in arrays if key.startswith(f"{name}_view_"))
        number, size = int(whole.rsplit("_", 1)[1]), arrays[whole].shape[-1]
        crops = len(arrays[f"{name}_sub"]) // clips
        spec = changed("video", preset, clips=clips, frames=frames, crops=crops, size=size)
        spec = dataclasses.replace(spec, clip_s=clip_s(told[name], spec))
        [found] = preprocess.preprocess("video", file_of(name), spec)
        moved = np.moveaxis(found, -1, 1)  # [views, 3, t, s, s]
        step = size // arrays[f"{name}_sub"].shape[-1]
        few = moved[..., ::step, ::step]
        assert np.abs(few - arrays[f"{name}_sub"].astype(np.float32)).max() <= PICTURE_TOLERANCE
        one = arrays[whole].astype(np.float32)
        assert np.abs(moved[number] - one).max() <= PICTURE_TOLERANCE
        means = found.mean((1, 2, 3))
        assert np.abs(means - arrays[f"{name}_mean"]).max() <= PICTURE_TOLERANCE


@pytest.mark.parametrize("preset", PRESETS)
def test_frames_of_a_film_are_those_of_the_reference(arrays, told, preset):
    for name in numbered(arrays, "video", "_index"):
        index = arrays[f"{name}_index"]
        spec = changed("video", preset, clips=len(index), frames=index.shape[1])
        spec = dataclasses.replace(spec, clip_s=clip_s(told[name], spec))
        pick, seen = views.picker(spec), []
        choice = clock_lib.Choice(
            len,
            by_time=lambda shown, pick=pick, seen=seen: seen.append(shown) or pick(shown),
            keep=lambda frame: frame[:1, :1],
        )
        video.choose(file_of(name), choice)
        assert len(seen[0].seconds) == told[name]["frames"]
        assert pick(seen[0]).reshape(index.shape).tolist() == index.tolist()


def sounds(arrays, told):
    """Name, media and mel of every sound."""
    for name in numbered(arrays, "audio", "_mel"):
        yield name, file_of(name)
    for name in numbered(arrays, "wave", "_mel"):
        yield name, (arrays[name].astype(np.float32) / 32768, told[name]["rate"])


@pytest.mark.parametrize("preset", PRESETS)
def test_windows_of_sound_are_those_of_the_reference(arrays, told, preset):
    names = [name for name, _ in sounds(arrays, told)]
    assert names
    for name, media in sounds(arrays, told):
        expected = np.moveaxis(arrays[f"{name}_mel"], 1, -1)  # [clips, mel, frames, 1]
        clips, mel_bins, frames, _ = expected.shape
        spec = changed("audio", preset, clips=clips, mel_bins=mel_bins, target_frames=frames)
        longest = max(np.diff(arrays[f"{one}_bounds"]).max() for one in names)
        spec = dataclasses.replace(spec, window_s=float(longest / spec.sample_rate_hz))
        wave = audio.decode(media, spec)
        assert len(wave) == told[name]["samples_16k"]
        bounds = audio.bounds(len(wave), spec)
        if preset == "imagebind_reference":
            assert bounds == [tuple(one) for one in arrays[f"{name}_bounds"].tolist()]
        assert np.abs(np.array(bounds) - arrays[f"{name}_bounds"]).max() <= 1
        same = np.array(bounds) == arrays[f"{name}_bounds"]
        kept = (arrays[f"{name}_leak"] <= LEAKS) & same.all(axis=1)[:, None]
        found = audio.transform(wave, spec)
        assert found.shape == specs.shape(spec) == expected.shape
        off = np.abs(found - expected)[..., 0] * kept[:, None]
        loud = expected[..., 0] > LOUD
        assert off[loud].max() <= LOUD_TOLERANCE
        assert off.max() <= QUIET_TOLERANCE


def test_sound_is_resampled_as_the_reference_resamples(arrays, told):
    for name in numbered(arrays, "wave", "_w16") + numbered(arrays, "audio", "_w16"):
        media = dict(sounds(arrays, told))[name]
        spec = specs.preset("audio", "imagebind")
        first = samples.read(media, spec)
        found = audio.resample(*first, spec.sample_rate_hz, spec.resampler)
        assert np.abs(found - np.atleast_2d(arrays[f"{name}_w16"])[0]).max() <= 1e-5


def test_texts_are_the_tokens_of_the_reference():
    """But for special tokens in a text, and for texts without a word, which are refused."""
    told = json.loads((FOLDER / "tokens.json").read_text("utf-8"))
    spec, compared = specs.preset("text", "imagebind"), 0
    for case in told["cases"]:
        if "<|" in case["text"] or not tokenizer.clean(case["text"]):
            continue
        [ids] = tokenizer.tokenize(case["text"], told["context_length"], spec.clean).tolist()
        assert ids == case["ids"], case["text"]
        compared += 1
    assert compared > len(told["cases"]) // 2


def test_a_special_token_in_a_text_is_text():
    told = json.loads((FOLDER / "tokens.json").read_text("utf-8"))
    for case in told["cases"]:
        if "<|" in case["text"]:
            [ids] = tokenizer.tokenize([case["text"]], told["context_length"]).tolist()
            assert ids != case["ids"]
            assert ids.count(49407) == 1

"""Many films into folders: what a run makes, leaves alone, and says."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from lb_jax.builder import depth, generators, infrared, picked
from lb_jax.core import errors, logging
from lb_jax.corpora.quarantine import Quarantine
from tests import generators as small
from tests.media import media_files

DEPTH = dataclasses.replace(depth.PRESETS["default"], short=32, longest=64, out_short=24)
THERMAL = dataclasses.replace(
    infrared.PRESETS["default"], short=32, longest=64, multiple=4, out_short=24
)


def made(**options):
    """Both generators, with the options of `DEPTH` and `THERMAL` changed."""
    glpn = depth.GlpnDepth(small.SMALL_GLPN, small.drawn_glpn(), source="drawn")
    translator = infrared.Translator(small.SMALL_MUNIT, small.drawn_munit(), source="drawn")
    return [
        depth.Depth(glpn, DEPTH),
        infrared.Infrared(translator, dataclasses.replace(THERMAL, **options)),
    ]


@pytest.fixture(scope="module")
def both():
    return made()


@pytest.fixture
def folder(tmp_path):
    """Two films, one of them in a folder of its own and upright."""
    (tmp_path / "films" / "more").mkdir(parents=True)
    (tmp_path / "films" / "a.b.mp4").write_bytes(media_files.clip(20))
    (tmp_path / "films" / "more" / "c.mp4").write_bytes(media_files.clip(9, rotation=90))
    return tmp_path / "films"


def films(folder):
    paths = sorted(map(str, folder.rglob("*.mp4")))
    return generators.named(paths, [str(folder)])


def run(folder, given, **options):
    out = folder.parent / "out"
    out.mkdir(exist_ok=True)
    quarantine = Quarantine(folder.parent / "bad.jsonl", 0.5)
    return out, generators.generate(films(folder), given, out, quarantine, **options)


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_every_film_becomes_the_layout_of_vidal(folder, both):
    out, summary = run(folder, both)
    assert summary.made == {"depth": 2, "thermal": 2}
    assert (summary.frames, summary.there, summary.bad) == (32, 0, 0)
    assert set(contents(out)) == {
        f"{name}_{kind}_folder/{file}"
        for name in ("a.b", "more/c")
        for kind, ending in (("depth_f8glpn", "png"), ("thermal", "jpg"))
        for file in (*(f"{i}.{ending}" for i in range(8)), generators.RECORD)
    }
    millimetres = cv2.imread(str(out / "a.b_depth_f8glpn_folder/3.png"), cv2.IMREAD_UNCHANGED)
    assert (millimetres.shape, millimetres.dtype) == ((24, 32), np.uint16)
    assert 0 < millimetres.min() <= millimetres.max() <= 10_000
    with Image.open(out / "more/c_thermal_folder/7.jpg") as picture:
        assert (picture.size, picture.mode) == ((24, 32), "RGB")
    record = json.loads((out / "a.b_thermal_folder" / generators.RECORD).read_text())
    assert record["options"]["seed"] == 0
    assert record["network"] == "MUNIT"


def test_pictures_do_not_depend_on_what_else_is_made(folder, both):
    out, _ = run(folder, both)
    expected = contents(out)
    out.rename(out.with_name("first"))
    (folder / "d.mp4").write_bytes(media_files.clip(30))
    again, _ = run(folder, both, threads=1)
    found = contents(again)
    assert {name: found[name] for name in expected} == expected


def test_what_is_there_is_left_alone(folder, both):
    out, _ = run(folder, both)
    gone = out / "a.b_thermal_folder"
    expected = contents(gone)
    for file in gone.iterdir():
        file.unlink()
    gone.rmdir()
    marked = out / "more" / "c_depth_f8glpn_folder" / "0.png"
    marked.write_bytes(b"mine")
    _, summary = run(folder, both)
    assert summary.made == {"depth": 0, "thermal": 1}
    assert summary.there == 3
    assert contents(gone) == expected
    assert marked.read_bytes() == b"mine"


def test_a_folder_of_other_options_stops_the_run_before_it(folder, both):
    out, _ = run(folder, both)
    before = contents(out)
    (folder / "0.mp4").write_bytes(media_files.clip(9))
    with pytest.raises(errors.ConfigError, match=r"options\.seed 0, now 1") as caught:
        run(folder, made(seed=1))
    assert "\n" not in str(caught.value)
    assert contents(out) == before


def test_films_that_cannot_be_read_are_listed(folder, both):
    (folder / "cut.mp4").write_bytes(media_files.clip(20)[:900])
    _, summary = run(folder, both)
    assert (summary.films, summary.bad) == (3, 1)
    assert summary.made == {"depth": 2, "thermal": 2}
    (row,) = logging.read_metrics(folder.parent / "bad.jsonl")
    assert row["path"].endswith("cut.mp4")


def test_a_film_is_decoded_once_for_both(folder, both, monkeypatch):
    seen = []
    plain = picked.read
    monkeypatch.setattr(
        picked, "read", lambda path, frames: seen.append(path) or plain(path, frames)
    )
    run(folder, both)
    assert sorted(seen) == sorted(one.path for one in films(folder))


def test_two_films_of_one_name_are_refused():
    with pytest.raises(errors.DataError, match=r"same folders as /x/a\.mp4"):
        generators.named(["/x/a.mp4", "/x/a.webm"], ["/x"])


def test_styles_follow_from_seed_film_and_frame():
    def drawn(*given, of="frame"):
        return infrared.styles(*given, 3, 5, of)

    first = drawn(0, "a")
    np.testing.assert_array_equal(first, drawn(0, "a"))
    assert len({row.tobytes() for row in first}) == 3
    for other in (drawn(1, "a"), drawn(0, "b")):
        assert not np.isin(first, other).any()
    clip = drawn(0, "a", of="clip")
    np.testing.assert_array_equal(clip, np.repeat(first[:1], 3, axis=0))
    np.testing.assert_array_equal(infrared.styles(0, "a", 2, 5, "frame"), first[:2])


@pytest.mark.parametrize(("of", "expected"), [("clip", [0, 128]), ("frame", [0, 0])])
def test_scale_of_a_clip_and_of_a_frame(of, expected):
    options = dataclasses.replace(THERMAL, scale=of, out_short=4)
    translator = made()[1]._translator
    frames = np.stack([np.linspace(low, low + 1, 48).reshape(4, 4, 3) for low in (-1, 0)])
    pictures = infrared.Infrared(translator, options).finish(frames.astype(np.float32), (4, 4))
    assert [int(one.min()) for one in pictures] == expected
    assert pictures[1].max() == 255


def test_one_grey_is_no_division_by_zero():
    (found,) = infrared.scaled([np.full((2, 2, 3), 0.5, np.float32)], [np.full(1, np.float32(0.5))])
    assert (found == 0).all()


def test_depth_by_a_function_of_ones_own(folder):
    def metres(frames):
        return frames[..., 0] / np.float32(100)

    given = depth.Depth(depth.Given(metres, {"weights": "mine"}), DEPTH)
    out, summary = run(folder, [given])
    assert summary.made == {"depth": 2}
    found = cv2.imread(str(out / "a.b_depth_f8glpn_folder/7.png"), cv2.IMREAD_UNCHANGED)
    assert found.shape == (24, 32)
    assert 1000 < found.max() < 2560


def test_a_function_that_gives_no_metres_is_named(folder):
    given = depth.Depth(depth.Given(lambda frames: frames, {"weights": "mine"}), DEPTH)
    with pytest.raises(errors.InternalError, match="mine gave"):
        run(folder, [given])


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (depth.DepthOptions, {"rounding": "up"}, "nearest"),
        (depth.DepthOptions, {"most_m": 100.0}, "16 bits"),
        (depth.DepthOptions, {"compression": 10}, "0 to 9"),
        (depth.DepthOptions, {"out_short": 0}, "at least 1"),
        (infrared.InfraredOptions, {"style": "film"}, "clip"),
        (infrared.InfraredOptions, {"format": "gif"}, "jpg, png"),
        (infrared.InfraredOptions, {"seed": -1}, "from 0"),
        (infrared.InfraredOptions, {"quality": 100}, "1 to 95"),
    ],
)
def test_options_that_are_none(kind, change, told):
    with pytest.raises(errors.ConfigError, match=told):
        kind(**change)

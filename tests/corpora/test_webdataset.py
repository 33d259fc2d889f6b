import json
import os
import pickle

import pytest

from lb_jax.core import errors
from lb_jax.corpora.webdataset import WebDataset
from tests.corpora.test_tar import packed

ORIGINAL = {
    "raw.txt": b"A Cat! #shorts",
    "mplug.txt": b"a cat",
    "polish_mplug.txt": b"In the video, a cat sits.",
    "ofa3.txt": b" a tail",
    **{f"frm{k}.jpg": b"frame %d" % k for k in range(8)},
    "tml0.jpg": b"heat",
    "dep0.npy": b"depth",
}


def shard(path, samples):
    """Writes sample -> ending -> content."""
    path.write_bytes(packed({f"{s}.{e}": c for s, m in samples.items() for e, c in m.items()}))
    return path


def fails(path, match, error=errors.DataError, index=None, **arguments):
    with pytest.raises(error, match=match):
        WebDataset(path, **arguments)[index]


def test_shards_of_the_original(tmp_path):
    path = shard(tmp_path / "x.tar", {"abc": ORIGINAL, "def": ORIGINAL})
    source = WebDataset(path)
    assert source.modalities == ("image", "video", "depth", "thermal")
    assert source.text_kinds == ("raw", "mplug", "polish_mplug", "ofa_3")
    row = source[1]
    assert row.id == "x/def"
    assert row.texts == {
        "raw": "A Cat! #shorts",
        "mplug": "a cat",
        "polish_mplug": "a cat sits.",
        "ofa_3": " a tail",
    }
    frames = tuple(b"frame %d" % k for k in range(8))
    assert dict(row.media) == {
        "image": frames,
        "video": (frames,),
        "depth": (b"depth",),
        "thermal": (b"heat",),
    }
    again = pickle.loads(pickle.dumps(source))
    assert dict(again[1].media) == dict(pickle.loads(pickle.dumps(row)).media) == dict(row.media)


def test_usual_members(tmp_path):
    told = {"caption": ["a", "b"], "mplug": None, "raw": "t", "width": 3}
    samples = {
        "in/a": {"JPG": b"picture", "mp4": b"clip", "json": json.dumps(told).encode(), "cls": b"3"},
        "b": {"flac": b"sound", "txt": b"\xef\xbb\xbfa dog", "json": json.dumps(told).encode()},
        "c": {"depth.png": b"d", "thermal.jpg": b"t", "mplug.txt": b" \n"},
        "d": {"imu.csv": b"m", "csv": b"no media"},
        ".hidden": {"jpg": b"x"},
    }
    source = WebDataset(shard(tmp_path / "x.tar", samples))
    assert source.modalities == ("image", "video", "depth", "thermal", "audio", "imu")
    assert source.text_kinds == ("caption", "raw", "mplug")
    a, b, c, d = (source[n] for n in range(len(source)))
    assert [row.id for row in (a, b, c, d)] == ["x/in/a", "x/b", "x/c", "x/d"]
    assert dict(d.media) == {"imu": (b"m",)}
    assert dict(a.media) == {"image": (b"picture",), "video": (b"clip",)}
    assert a.texts == {"caption": ("a", "b"), "raw": "t"}
    assert dict(b.media) == {"audio": (b"sound",)}
    assert b.texts == {"caption": "a dog", "raw": "t"}
    assert dict(c.media) == {"depth": (b"d",), "thermal": (b"t",)}
    assert c.texts == {}


@pytest.mark.parametrize("name", [".", "x-{00..01}.tar", "x-0{0,1}.tar"])
def test_several_shards(tmp_path, name):
    for k in range(2):
        shard(tmp_path / f"x-0{k}.tar", {"a": {"jpg": b"%d" % k, "txt": b"t"}})
    source = WebDataset(tmp_path / name)
    assert [source[n].id for n in range(len(source))] == ["x-00/a", "x-01/a"]
    assert [source[n].media["image"] for n in range(2)] == [(b"0",), (b"1",)]


def test_patterns_over_folders(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shard(tmp_path / folder / "x.tar", {"s": {"jpg": b"x"}})
    source = WebDataset(tmp_path / "{a,b}" / "x.tar")
    assert [source[n].id for n in range(len(source))] == ["a/x/s", "b/x/s"]
    fails(tmp_path / "{a,b}" / "{x,y}.tar", r"a/y.tar: does not exist; the pattern")
    fails(tmp_path / "{a}.tar", r"\{a\} is no pattern", errors.ConfigError)
    fails(tmp_path / "{3..1}.tar", "is no pattern", errors.ConfigError)


def test_media_are_read_when_asked_for(tmp_path):
    path = shard(tmp_path / "x.tar", {"a": ORIGINAL})
    row = WebDataset(path)[0]
    assert list(row.media) == ["image", "thermal", "depth", "video"]
    os.utime(path, ns=(0, 0))
    with pytest.raises(errors.DataError, match="has changed since this run opened it"):
        row.media["image"]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({"txt": b"x"}, r"x/a: has no media among its members \(txt\)"),
        ({"jpg": b"x", "txt": b"\xff"}, r"x/a\.txt: is not UTF-8 text at byte 0"),
        ({"jpg": b"x", "json": b"{"}, r"x/a\.json: is no JSON"),
        ({"jpg": b"x", "json": b"[1]"}, r"x/a\.json: holds a list, expected an object"),
        ({"jpg": b"x", "json": b'{"caption": 3}'}, r"x/a\.json: caption is int, expected"),
        ({"jpg": b"x", "json": b'{"ofa": ["a"]}'}, r"x/a\.json: ofa is a list of 1"),
        ({"jpg": b"x", "png": b"y"}, "x/a: has jpg, png for image; expected one file"),
        ({"frm0.jpg": b"x", "frm2.jpg": b"y"}, "has frm0.jpg, frm2.jpg for image; .*without gaps"),
    ],
)
def test_a_sample_that_cannot_be_used_is_named(tmp_path, sample, reason):
    path = shard(tmp_path / "x.tar", {"a": sample, "b": {"jpg": b"x", "txt": b"t"}})
    fails(path, reason, index=0)


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"mplug": 3}'])
def test_a_bad_json_spoils_its_row_only(tmp_path, content):
    good = json.dumps({"mplug": "a cat"}).encode()
    samples = {"a": {"jpg": b"x", "json": content}, "b": {"jpg": b"y", "json": good}}
    source = WebDataset(shard(tmp_path / "x.tar", samples))
    assert source.text_kinds == ("mplug",)
    assert source[1].texts == {"mplug": "a cat"}
    with pytest.raises(errors.DataError, match=r"x/a\.json"):
        source[0]
    del samples["b"]
    assert WebDataset(shard(tmp_path / "x.tar", samples)).text_kinds == ()


def test_kinds_that_no_sample_has(tmp_path):
    source = WebDataset(shard(tmp_path / "x.tar", {"a": {"jpg": b"x", "raw.txt": b"t"}}))
    source.require(["raw", "mix"])
    with pytest.raises(errors.DataError, match="lacks caption; its samples have raw"):
        source.require(["caption"])


def test_shards_that_cannot_be_used(tmp_path):
    fails(shard(tmp_path / "x.tar", {"a": {"JPG": b"x", "jpg": b"y"}}), "'a.jpg' twice")
    fails(
        shard(tmp_path / "x.tar", {"a": {"cls": b"x"}, "b": {"bin": b"y"}}), r"holds \.bin, \.cls"
    )
    fails(shard(tmp_path / "x.tar", {}), "holds no files; expected members that end in")
    fails(shard(tmp_path / "x.tar", {"../a": {"jpg": b"x"}}), "'../a.jpg' leads out of the archive")
    fails(tmp_path / "none.tar", "cannot be read")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "holds no .tar")

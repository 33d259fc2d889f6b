import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from lb_jax.core import errors
from lb_jax.corpora import pack, sources
from lb_jax.corpora.films import Films
from lb_jax.corpora.image_folder import ImageFolder
from lb_jax.corpora.manifest import Manifest
from lb_jax.corpora.vidal import Vidal
from lb_jax.corpora.webdataset import WebDataset
from tests.corpora.test_tar import packed


@pytest.fixture
def corpora(tmp_path):
    """One corpus of each kind."""
    (tmp_path / "anno.json").write_text(json.dumps({"a": {"folder": "f", "raw": "x"}}))
    for name, delimiter in (("m.csv", ","), ("m.tsv", "\t"), ("upper.CSV", ",")):
        (tmp_path / name).write_text(f"path{delimiter}caption\na.jpg{delimiter}x\n")
    for name in ("m.jsonl", "m.ndjson"):
        (tmp_path / name).write_text('{"path": "a.jpg", "caption": "x"}\n')
    pa.parquet.write_table(pa.table({"path": ["a.jpg"]}), tmp_path / "m.parquet")
    (tmp_path / "shards").mkdir()
    for name in ("x-0.tar", "shards/x.tar"):
        (tmp_path / name).write_bytes(packed({"a.jpg": b"x"}))
    (tmp_path / "pictures/cat").mkdir(parents=True)
    (tmp_path / "pictures/cat/a.jpg").touch()
    (tmp_path / "films").mkdir()
    (tmp_path / "films/a.mp4").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("anno.json", Vidal),
        ("m.csv", Manifest),
        ("upper.CSV", Manifest),
        ("m.tsv", Manifest),
        ("m.jsonl", Manifest),
        ("m.ndjson", Manifest),
        ("m.parquet", Manifest),
        ("x-0.tar", WebDataset),
        ("x-{0..0}.tar", WebDataset),
        ("shards", WebDataset),
        ("pictures", ImageFolder),
    ],
)
def test_a_corpus_is_known_by_name_or_content(corpora, name, kind):
    source = sources.open_source(corpora / name, modality="image")
    assert type(source) is kind
    assert len(source) == 1
    assert "image" in source.modalities
    assert "image" in source[0].media
    assert set(source[0].texts) <= set(source.text_kinds)
    assert source.where == str(corpora / name)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("m.csv", b"path,caption\na.jpg,x\nb.jpg\n", r"m\.csv: line 3: has 1 cell, the header 2"),
        ("m.jsonl", b'{"path": "a"}\n{"path"\n', r"m\.jsonl: line 2: "),
        ("m.csv", b"path,captoin\na.jpg,x\n", r"no column 'caption'; .* Did you mean 'captoin'\?"),
        ("x.tar", packed({"/a.jpg": b"x"}), "'/a.jpg' leads out of the archive"),
        ("x.tar", packed({"../a.jpg": b"x"}), "'../a.jpg' leads out of the archive"),
    ],
)
def test_bad_input(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.DataError, match=reason):
        sources.open_source(tmp_path / name, modality="image").require(["caption"])


def test_a_folder_of_films_is_known_by_what_it_holds(corpora):
    source = sources.open_source(corpora / "films")
    assert type(source) is Films
    assert (len(source), source.modalities, source.text_kinds) == (1, ("video",), ())
    (corpora / "films/cat").mkdir()
    (corpora / "films/cat/a.jpg").touch()
    assert type(sources.open_source(corpora / "films")) is ImageFolder


def test_folder_without_files(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.txt").touch()
    with pytest.raises(
        errors.DataError, match=r"cat: holds 1 file \(\.txt\); expected files .*jpg"
    ):
        sources.open_source(tmp_path)


@pytest.mark.parametrize("names", [(), ("a.txt",), ("cat/a.jpg",)])
def test_a_folder_is_held_for_one_of_what_is_expected(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    told = (
        r"holds .* \(\.jpg\); expected files ending"
        if "cat/a.jpg" in names
        else (r"holds (no files|1 file \(\.txt\)) and no class folders; expected films, or <class>")
    )
    with pytest.raises(errors.DataError, match=rf"{told}.* \.mp4") as caught:
        sources.open_source(tmp_path, expected="video")
    assert "jpg " not in str(caught.value)


def test_a_path_that_does_not_exist_names_the_nearest(corpora):
    with pytest.raises(errors.DataError, match=r"no 'ano\.json' among .* mean 'anno\.json'"):
        sources.open_source(corpora / "ano.json")
    with pytest.raises(errors.DataError, match=r"no 'shrds' among .* mean 'shards'"):
        sources.open_source(corpora / "shrds" / "x.tar")


def test_an_unknown_kind_names_the_known_ones(tmp_path):
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(
        errors.ConfigError, match=r"no corpus .* VIDAL .*\.csv.*\.tar.*class folders"
    ):
        sources.open_source(tmp_path / "m.xlsx")


@pytest.fixture
def sparse(tmp_path):
    """Rows that carry image, video, both and, in tables, lists of nothing."""
    (tmp_path / "a.jpg").write_bytes(b"jpg")
    (tmp_path / "a.mp4").write_bytes(b"mp4")
    rows = [
        {"image": "a.jpg", "caption": "x"},
        {"video": "a.mp4", "caption": "x"},
        {"image": "a.jpg", "video": "a.mp4", "caption": "x"},
        {"video": "a.mp4", "image": "", "caption": "x"},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    members = {
        f"{i}.{'jpg' if name == 'image' else 'mp4'}": b"x"
        for i, row in enumerate(rows)
        for name in ("image", "video")
        if row.get(name)
    }
    (tmp_path / "x.tar").write_bytes(packed(members))
    frames = {"a.frm0.jpg": b"x", "a.frm1.jpg": b"x", "b.frm0.jpg": b"x", "c.tml0.jpg": b"x"}
    (tmp_path / "stills.tar").write_bytes(packed(frames))
    for name in ("m.jsonl", "stills.tar"):
        pack.pack(
            sources.open_source(tmp_path / name), tmp_path / f"packed {name}", rows_per_shard=3
        )
    return tmp_path


@pytest.mark.parametrize(
    "name", ["m.jsonl", "x.tar", "stills.tar", "packed m.jsonl", "packed stills.tar"]
)
def test_rows_that_have_a_modality_are_known_beforehand(sparse, name):
    source = sources.open_source(sparse / name)
    for modality in ("image", "video", "thermal", "depth"):
        expected = [i for i in range(len(source)) if modality in source[i].media]
        assert [int(i) for i in source.having(modality)] == expected, modality


def test_settings_that_a_corpus_has_no_use_for_are_refused(corpora):
    for name, given, reason in (
        ("anno.json", {"columns": {"image": "x"}}, "is a VIDAL annotation.*no use for columns"),
        ("x-0.tar", {"root": "/x"}, "no use for root"),
        ("x-0.tar", {"modality": "video"}, "carries image, not video"),
    ):
        with pytest.raises(errors.ConfigError, match=reason):
            sources.open_source(corpora / name, **given)

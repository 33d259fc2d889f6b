"""TFDS datasets, ours and others', written and read without TensorFlow."""

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lb_jax.core import errors
from lb_jax.corpora import pack, sources, tfds_builder, tfds_source
from lb_jax.corpora.rows import Row
from tests import goldens
from tests.media import media_files, memory

PICTURE = media_files.picture(np.zeros((4, 4, 3), np.uint8))
FEATURES = tfds.features


@pytest.fixture(autouse=True)
def no_tensorflow():
    yield
    assert "tensorflow" not in sys.modules


def ours(folder: Path, rows=memory.ROWS, **options) -> Path:
    source = memory.Memory(rows)
    pack.pack(source, folder, to=tfds_builder.shards(source, options.get("only")), **options)
    return folder


def theirs(folder: Path, features, examples, split="train") -> Path:
    """A dataset as others write it, in two shards."""
    features = FEATURES.FeaturesDict(features)
    folder.mkdir(exist_ok=True)
    half = len(examples) // 2
    for shard, part in enumerate((examples[:half], examples[half:])):
        path = folder / f"theirs-{split}.array_record-{shard:05d}-of-00002"
        pack.write_shard(path, map(features.serialize_example, part))
    lengths = [half, len(examples) - half]
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=[
            tfds.core.SplitInfo(
                name=name.name.split("-")[1].split(".")[0], shard_lengths=lengths, num_bytes=1
            )
            for name in sorted(folder.glob("*-00000-of-*"))
        ],
        check_data=False,
    )
    return folder


def all_of(source) -> tuple[Row, ...]:
    return tuple(source[i] for i in range(len(source)))


def test_every_shape_of_row_comes_back_in_order(tmp_path):
    found = sources.open_source(ours(tmp_path / "out", rows_per_shard=3))
    assert isinstance(found, tfds_source.Tfds)
    assert all_of(found) == memory.ROWS
    assert found.modalities == ("image", "video", "depth", "thermal", "audio")
    assert found.text_kinds == ("caption", "raw", "mplug", "ofa", "ofa_3")


def test_shards_are_the_same_bit_for_bit_in_another_process(tmp_path):
    ours(tmp_path / "here", rows_per_shard=2)
    program = (
        "import sys; from pathlib import Path; from tests.corpora import test_tfds;"
        "test_tfds.ours(Path(sys.argv[1]), rows_per_shard=2)"
    )
    for name in ("a", "b"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / name)], check=True, cwd=goldens.ROOT
        )
    here, *there = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("here", "a", "b")
    )
    assert len(here) == 2 + 4
    assert there == [here, here]


def test_others_read_it_by_the_means_of_tfds(tmp_path):
    folder = ours(tmp_path / tfds_builder.NAME / tfds_builder.VERSION)
    by_folder = tfds.builder_from_directory(folder).as_data_source("train")
    assert by_folder[1]["depth"] == list(memory.FRAMES)
    assert by_folder[0]["image"] == [b"picture\0\0"]
    by_name = tfds.data_source(tfds_builder.NAME, data_dir=tmp_path, split="train", download=False)
    assert [one["id"].decode() for one in by_name] == ["plain", "é", "stills", "bare"]


def test_the_builder_writes_the_same_rows(tmp_path):
    source = memory.Memory([*memory.ROWS, errors.DataError("line 5", "is torn")])
    few = memory.Memory(memory.numbered(3))
    builder = tfds_builder.LbJaxCorpus(
        splits={"train": source, "test": few}, data_dir=tmp_path, max_bad_rate=0.2
    )
    builder.download_and_prepare()
    assert all_of(tfds_source.Tfds(f"{builder.data_dir}:train")) == memory.ROWS
    assert all_of(tfds_source.Tfds(f"{builder.data_dir}:test")) == tuple(memory.numbered(3))
    again = tfds_builder.LbJaxCorpus(data_dir=tmp_path)
    again.download_and_prepare(file_format="array_record")
    assert len(again.as_data_source("test")) == 3


def test_the_builder_takes_another_format_where_it_is_asked_for(tmp_path):
    asked = tfds_builder.LbJaxCorpus(data_dir=tmp_path, file_format="riegeli")
    assert asked.info.file_format.value == "riegeli"
    assert tfds_builder.LbJaxCorpus(data_dir=tmp_path).info.file_format.value == "array_record"


def test_the_builder_reads_what_was_prepared_in_another_format(tmp_path):
    builder = tfds_builder.LbJaxCorpus(
        splits={"train": memory.Memory(memory.numbered(2))}, data_dir=tmp_path
    )
    builder.download_and_prepare()
    info = Path(builder.data_dir) / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    assert tfds_builder.LbJaxCorpus(data_dir=tmp_path).info.file_format.value == "tfrecord"


def test_the_builder_tells_where_it_needs_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_builder, "_IN_MEMORY_BYTES", 5_000)
    splits = {"train": memory.Memory(memory.numbered(6))}
    builder = tfds_builder.LbJaxCorpus(splits=splits, data_dir=tmp_path)
    with pytest.raises(errors.DataError, match=r"only with TensorFlow .* data convert SRC DST"):
        builder.download_and_prepare()


def test_a_builder_without_a_source_does_not_prepare(tmp_path):
    with pytest.raises(errors.ConfigError, match="is not prepared in"):
        tfds_builder.LbJaxCorpus(data_dir=tmp_path).download_and_prepare()


LABELS = ("cat", "dög")
EXAMPLES = [
    {
        "image": PICTURE + bytes(i),
        "label": i % 2,
        "file_name": f"{i}.png",
        "captions": [{"text": f"first {i}", "id": 1}, {"text": "second", "id": 2}][: i % 3],
        "views": [PICTURE] * (i % 3),
        "about": {"title": f"title {i}", "sound": b"sound\0"},
        "samples": [1, 2, 3],
    }
    for i in range(6)
]
THEIRS = {
    "image": FEATURES.Image(),
    "label": FEATURES.ClassLabel(names=LABELS),
    "file_name": FEATURES.Text(),
    "captions": FEATURES.Sequence({"text": FEATURES.Text(), "id": np.int64}),
    "views": FEATURES.Sequence(FEATURES.Image()),
    "about": {"title": FEATURES.Text(), "sound": FEATURES.Tensor(shape=(), dtype=np.bytes_)},
    "samples": FEATURES.Sequence(np.int64),
}


@pytest.fixture
def dataset(tmp_path):
    return theirs(tmp_path / "theirs", THEIRS, EXAMPLES)


@pytest.mark.parametrize(
    ("columns", "number", "row"),
    [
        (None, 1, Row("1", {}, {"image": (PICTURE + b"\0",)})),
        (
            {"image": "image", "caption": "label", "id": "file_name"},
            3,
            Row("3.png", {"caption": "dög"}, {"image": (PICTURE + bytes(3),)}),
        ),
        (
            {"caption": "captions/text", "thermal": "views"},
            2,
            Row("2", {"caption": ("first 2", "second")}, {"thermal": (PICTURE, PICTURE)}),
        ),
        ({"caption": "captions/text", "depth": "views"}, 0, Row("0", {}, {})),
        (
            {"caption": "captions/text", "raw": "about/title", "audio": "about/sound"},
            4,
            Row("4", {"caption": "first 4", "raw": "title 4"}, {"audio": (b"sound\0",)}),
        ),
    ],
)
def test_features_of_others_become_columns(dataset, columns, number, row):
    found = sources.open_source(dataset, columns=columns)
    assert len(found) == 6
    assert found[number] == row
    assert pickle.loads(pickle.dumps(found))[number] == row
    with pytest.raises(IndexError):
        found[6]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"imge": "image"}, "no column 'imge'; expected id, image,"),
        ({"image": "img"}, "has no feature 'img'; it has about/sound, about/title, captions/id,"),
        ({"image": "img"}, "Did you mean 'image'?"),
        ({"caption": "captions"}, "Did you mean 'captions/id'?"),
        ({"id": "file_name"}, "has no feature named after a modality or caption kind"),
        ({"audio": "samples"}, "audio cannot be read from 'samples', which is Tensor; expected"),
        ({"image": "label"}, "which is ClassLabel; expected encoded bytes or Image"),
        ({"caption": "image"}, "which is Image; expected Text or ClassLabel"),
    ],
)
def test_wrong_columns_are_told(dataset, columns, words):
    with pytest.raises(errors.ConfigError) as error:
        sources.open_source(dataset, columns=columns)
    assert words in str(error.value)


def test_a_missing_kind_is_told_with_the_features(dataset):
    tfds_source.Tfds(dataset, columns={"raw": "label"}).require(["raw"])
    with pytest.raises(
        errors.DataError, match="lacks raw; its features are about/sound, "
    ) as error:
        sources.open_source(dataset).require(["raw"])
    assert "as raw=FEATURE" in str(error.value)


def test_a_row_without_a_label_is_told(tmp_path):
    features = {"label": FEATURES.ClassLabel(names=LABELS)}
    found = theirs(tmp_path / "x", features, [{"label": 1}, {"label": -1}])
    source = sources.open_source(found, columns={"caption": "label"})
    assert source[0].texts == {"caption": "dög"}
    with pytest.raises(errors.DataError, match=r"record 1: label: no label \(-1\)"):
        source[1]


def test_splits(tmp_path):
    features = {"caption": FEATURES.Text()}
    for split in ("train", "test"):
        examples = [{"caption": f"{split} {i}"} for i in range(4)]
        folder = theirs(tmp_path / "a:b", features, examples, split)
    for split, captions in {
        "train": ["train 0", "train 1", "train 2", "train 3"],
        "test[1:3]": ["test 1", "test 2"],
        "test[:25%]+train[75%:]": ["test 0", "train 3"],
    }.items():
        found = sources.open_source(f"{folder}:{split}")
        assert [row.texts["caption"] for row in all_of(found)] == captions
    with pytest.raises(errors.ConfigError, match=r"has the splits .*; add one, as .*a:b:"):
        sources.open_source(folder)
    with pytest.raises(errors.ConfigError, match="has no split 'val'") as error:
        sources.open_source(f"{folder}:val")
    assert "it has " in str(error.value)


def test_a_dataset_by_name(tmp_path):
    ours(tmp_path / tfds_builder.NAME / tfds_builder.VERSION)
    for name in ("", ":train", f":{tfds_builder.VERSION}", f":{tfds_builder.VERSION}:train"):
        found = sources.open_source(f"tfds:{tfds_builder.NAME}{name}", root=tmp_path)
        assert all_of(found) == memory.ROWS
    with pytest.raises(errors.ConfigError, match="'tfds:' is no dataset; expected tfds:NAME,"):
        sources.open_source("tfds:")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nope", ""),
        ("nope:train", ""),
        ("nope/config:3.0.0", ""),
        ("lb_jax_corpus:9.9.9", " Did you mean 'lb_jax_corpus:1.0.0'?"),
    ],
)
def test_a_name_that_is_not_prepared_is_told_with_those_that_are(tmp_path, name, hint):
    ours(tmp_path / tfds_builder.NAME / tfds_builder.VERSION)
    with pytest.raises(errors.ConfigError) as error:
        sources.open_source(f"tfds:{name}", root=tmp_path)
    dataset = name.removesuffix(":train")
    assert str(error.value) == (
        f"tfds:{name}: no prepared dataset {dataset!r} in {tmp_path}; expected one of "
        f"lb_jax_corpus:1.0.0.{hint} Prepare it first, or give the data folder that it lies in as "
        "the root."
    )


def test_a_data_folder_without_datasets_is_told(tmp_path):
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(errors.ConfigError, match=rf"no prepared dataset 'a' in {root}, which "):
            sources.open_source("tfds:a", root=root)


@pytest.mark.parametrize("name", ["a b", "a-b/c", "a/", "a:1.x"])
def test_a_name_that_can_be_none_is_told_in_one_sentence(tmp_path, name):
    with pytest.raises(errors.ConfigError) as error:
        tfds_source.Tfds(f"tfds:{name}", root=tmp_path)
    assert str(error.value) == (
        f"'tfds:{name}' is no dataset; expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION, "
        "each with :SPLIT or without."
    )


def test_damage_is_a_data_error_that_names_the_record(dataset):
    path = sorted(dataset.glob("*-00001-of-*"))[0]
    whole, rng, told = path.read_bytes(), random.Random(0), 0
    for _ in range(30):
        content = bytearray(whole)
        content[rng.randrange(1500)] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        found = sources.open_source(dataset)
        assert found[0].id == "0"
        try:
            assert found[4].media["image"][0] == PICTURE + bytes(4)
        except errors.DataError as error:
            told += error.path == f"{dataset}: record 4"
    assert told
    for content in (b"", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(errors.DataError, match="is damaged"):
            sources.open_source(dataset)[4]
    path.unlink()
    with pytest.raises(errors.DataError, match="record 4: "):
        sources.open_source(dataset)[4]
    (dataset / "dataset_info.json").write_text("{")
    with pytest.raises(errors.DataError, match="is no dataset that opens without TensorFlow"):
        sources.open_source(dataset)


def test_records_without_random_access_are_told(tmp_path):
    folder = theirs(tmp_path / "x", {"caption": FEATURES.Text()}, [{"caption": "a"}] * 2)
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(errors.ConfigError, match="prepare it with file_format=array_record"):
        sources.open_source(folder)


def test_bad_parts_are_told(tmp_path):
    features = tfds_builder.features(["video"], [])
    example = {"id": "a", "video": [b"1", b"2"], "video_parts": [0]}
    folder = theirs(tmp_path / "x", dict(features.items()), [example] * 2)
    with pytest.raises(errors.DataError, match=r"record 0: has 2 files in parts \[0\]"):
        sources.open_source(folder)[0]


def test_several_of_several_are_told(tmp_path):
    folder = theirs(tmp_path / "x", {"caption": FEATURES.Text()}, [{"caption": "a"}] * 2)
    people = FEATURES.Sequence({"names": FEATURES.Sequence(FEATURES.Text())})
    FEATURES.FeaturesDict({"people": people}).save_config(folder)
    with pytest.raises(errors.ConfigError, match="from 'people/names', which is Sequence; expec"):
        sources.open_source(folder, columns={"caption": "people/names"})


def test_a_dataset_without_splits_is_told(tmp_path):
    folder = theirs(tmp_path / "x", {"caption": FEATURES.Text()}, [{"caption": "a"}] * 2)
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "splits": []}))
    with pytest.raises(errors.ConfigError, match="has no splits; prepare it first"):
        sources.open_source(folder)


def test_a_shard_may_be_empty(tmp_path):
    bad = [errors.DataError(f"row {i}", "is torn") for i in (2, 3)]
    rows = [*memory.numbered(2), *bad, *memory.numbered(2)]
    folder = ours(tmp_path / "out", rows, rows_per_shard=2, max_bad_rate=1)
    assert all_of(sources.open_source(folder)) == (*memory.numbered(2), *memory.numbered(2))


def test_stills_where_there_are_none_are_left_out(tmp_path):
    rows = [*memory.numbered(3), Row("stills", {}, {"image": ((b"1", b"2"),)})]
    folder = ours(tmp_path, rows, max_bad_rate=0.5)
    assert len(sources.open_source(folder)) == 3
    assert "has several pictures as one image" in (folder / pack.QUARANTINE).read_text()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("video_feature.Video", {"video": {"shape": {}, "dtype": "uint8"}}),
        ("audio_feature.Audio", {"audio": {"shape": {}, "dtype": "int64", "encoding": "none"}}),
    ],
)
def test_types_that_only_tensorflow_opens_are_told(tmp_path, name, content):
    folder = theirs(tmp_path / "x", {"caption": FEATURES.Text()}, [{"caption": "a"}] * 2)
    config = json.loads((folder / "features.json").read_text())
    config["featuresDict"]["features"]["clip"] = {
        "pythonClassName": f"tensorflow_datasets.core.features.{name}",
        **content,
    }
    (folder / "features.json").write_text(json.dumps(config))
    with pytest.raises(errors.DataError, match=r"without TensorFlow .*'tensorflow'.*without Video"):
        sources.open_source(folder)

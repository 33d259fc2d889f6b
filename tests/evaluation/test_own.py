"""Own data are scored by captions: equal ones are right for each other, bad files are listed."""

import csv
import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import pack, sources
from lb_jax.evaluation import calibrations, evaluate, labelled, own
from lb_jax.evaluation.benchmarks import splits
from tests.evaluation.conftest import CATEGORIES, PlantedModel
from tests.media import media_files


def write(path, rows, columns=("path", "caption", "class")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def planted_rows(count):
    """Pairs of items share a caption, which is that of the first."""
    return [
        (f"item{i}.png", f"caption of item{i - i % 2}", CATEGORIES[(i - i % 2) % 3])
        for i in range(count)
    ]


def read(path, modality="depth", names=("depth",), **settings):
    return own.read(path, sources.open_source(path, modality=modality, **settings), names)


class ByPair(PlantedModel):
    """As the planted model, but two items look alike; files named "bad" cannot be read."""

    def embed(self, modality, items):
        if modality == "text":
            return np.stack([self.prompt(one) for one in items])
        for one in items:
            if "/bad" in one:
                raise errors.DataError(one, "is empty")
        numbers = [int(one.split("item")[-1].split(".")[0]) for one in items]
        return np.stack([self.vector(number - number % 2) for number in numbers])

    def prompt(self, text):
        name = next((one for one in CATEGORIES if one in text), None)
        if name is None:
            return self.vector(int(text.split("item")[-1]))
        vector = np.zeros(512, np.float32)
        vector[CATEGORIES.index(name)] = 1
        return vector


def test_equal_captions_are_right_for_each_other(tmp_path):
    corpus = read(write(tmp_path / "own.csv", planted_rows(24)))
    found = evaluate.evaluate(ByPair(), corpus).metrics
    row = found["retrieval"]["depth"]
    assert row["text_to_x"]["R@1"] == row["x_to_text"]["R@1"] == 1
    assert (row["n"], row["distinct_captions"], row["chance_R@1"]) == (24, 12, 1 / 12)
    assert found["zero_shot"]["depth/class"]["top1"] == 1
    assert found["problems"] == []


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_any_corpus_that_training_opens_gives_the_same(tmp_path, ending):
    rows = planted_rows(6)
    path = tmp_path / f"own.{ending}"
    if ending == "csv":
        write(path, rows, ("path", "title", "label"))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        table = [dict(zip(("path", "title", "label"), row, strict=True)) for row in rows]
        if ending == "jsonl":
            path.write_text("".join(json.dumps(one) + "\n" for one in table))
        else:
            parquet.write_table(pa.Table.from_pylist(table), path)
    corpus = read(path, columns={"caption": "title", "class": "label"})
    assert corpus.ids == tuple(str(tmp_path / name) for name, *_ in rows)
    assert [corpus.said(id_, "depth") for id_ in corpus.ids] == [text for _, text, _ in rows]
    assert [corpus.attributes[id_]["class"] for id_ in corpus.ids] == [one for *_, one in rows]
    assert corpus.prompts["depth/class"]["bird"][0] == "a bad depth photo of a bird."


def test_bad_files_are_listed_and_the_rest_is_scored_as_without_them(tmp_path):
    rows = planted_rows(60)
    bad = [("bad0.png", "caption of item0", "bird"), ("bad1.png", "caption of item2", "")]
    whole = evaluate.evaluate(ByPair(), read(write(tmp_path / "a.csv", rows))).metrics
    mixed = [*rows[:7], bad[0], *rows[7:], bad[1]]
    found = evaluate.evaluate(ByPair(), read(write(tmp_path / "b.csv", mixed)))
    assert found.metrics["retrieval"] == whole["retrieval"]
    assert found.metrics["zero_shot"] == whole["zero_shot"]
    assert [(one.kind, one.reason) for one in found.problems] == [("unreadable", "is empty")] * 2
    assert found.problems[0].name.endswith("bad0.png")


def test_too_many_bad_files_stop_it(tmp_path):
    rows = [*planted_rows(56), *((f"bad{i}.png", f"caption of item{i}", "") for i in range(4))]
    corpus = read(write(tmp_path / "own.csv", rows))
    with pytest.raises(errors.DataError, match=r"own\.csv: 4 of 60 depth files .*bad0.*is empty"):
        evaluate.evaluate(ByPair(), corpus)
    assert len(evaluate.embed(ByPair(), corpus, max_bad_rate=0.1).problems) == 4
    only = read(write(tmp_path / "only.csv", rows[-2:]))
    with pytest.raises(errors.DataError, match="all 2 depth files cannot be used"):
        evaluate.evaluate(ByPair(), only)


def test_rows_that_say_nothing_are_problems(tmp_path):
    rows = [
        ("item0.png", "a", ""),
        ("item1.png", " ", ""),
        ("item0.png", "a", ""),
        ("item0.png", "b", ""),
        ("", "c", ""),
    ]
    corpus = read(write(tmp_path / "own.csv", rows))
    kinds = [splits.ANNOTATION, splits.DUPLICATE, splits.ANNOTATION]
    assert [one.kind for one in corpus.problems] == kinds
    assert [corpus.said(id_, "depth") for id_ in corpus.ids] == ["a", "b"]
    assert corpus.prompts == {}


def test_a_corpus_without_the_models_modality_is_named(tmp_path):
    path = write(tmp_path / "own.csv", planted_rows(4))
    with pytest.raises(errors.DataError, match=r"has depth, the model audio, video; give"):
        read(path, names=("audio", "video"))


def calibrated(path, rows):
    split = evaluate.embed(ByPair(), read(write(path, rows)))
    noise = np.random.default_rng(0).normal(size=(len(rows), 512))
    named = dict(zip(sorted(split.ids["depth"]), noise, strict=True))  # of a file, not of a place
    given = np.stack([named[id_] for id_ in split.ids["depth"]])
    vectors = {"depth": (split.embeddings["depth"] + 0.05 * given).astype(np.float32)}
    moved = evaluate.Embedded(split.corpus, split.ids, vectors, split.captions)
    return calibrations.fit(moved)[0]["depth,text"], calibrations.describe(split.corpus, "all")


def test_a_calibration_is_divided_by_captions_and_not_by_order(tmp_path):
    rows = planted_rows(160)
    pair, data = calibrated(tmp_path / "own.csv", rows)
    again, _ = calibrated(tmp_path / "own.csv", rows[::-1])
    assert (again.items, again.held_out_items) == (pair.items, pair.held_out_items)
    assert again.curve.scale == pytest.approx(pair.curve.scale)
    assert pair.items % 2 == pair.held_out_items % 2 == 0  # both items of a caption
    assert data["halves"] == labelled.HALVES


def test_media_inside_a_packed_corpus_are_read_from_it(tmp_path):
    picture = np.random.default_rng(0).integers(500, 9000, (40, 40)).astype(np.uint16)
    rows = [(f"{i}.png", f"text {i}", "") for i in range(3)]
    for i, (name, *_) in enumerate(rows):
        (tmp_path / name).write_bytes(media_files.picture(picture + i))
    source = sources.open_source(write(tmp_path / "own.csv", rows), modality="depth")
    pack.pack(source, tmp_path / "packed")
    corpus = own.read(tmp_path, sources.open_source(tmp_path / "packed"), ["depth"])
    assert len(corpus.ids) == 3
    held = {corpus.media(id_, "depth") for id_ in corpus.ids}
    assert held == {(tmp_path / name).read_bytes() for name, *_ in rows}
    with pytest.raises(errors.DataError, match="no single file, as --tasks needs"):
        corpus.as_split(["depth"])

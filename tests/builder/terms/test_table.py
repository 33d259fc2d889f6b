"""From files to the table: keywords, forms of one term, shares of sources, weights, bytes."""

import dataclasses
import json

import pyarrow.parquet as pq
import pytest

from lb_jax.builder.terms import balancing, merging, table
from lb_jax.builder.terms.merging import Term
from lb_jax.builder.terms.settings import Terms
from lb_jax.core import errors

pytest.importorskip("rapidfuzz")
pytest.importorskip("snowballstemmer")


def merged(similarity=0.9, language="en", **forms):
    """Term -> its other forms, of one source."""
    names = {name.replace("_", " "): count for name, count in forms.items()}
    return {one.term: one.forms for one in merging.merge({"a": names}, similarity, language)}


def test_endings_and_spellings_are_one_term():
    assert merged(dogs=3, dog=5, Dog=1) == {"dog": ("dogs", "Dog")}
    assert merged(colour_film=2, color_films=3) == {"color films": ("colour film",)}
    assert merged(similarity=1.0, colour=2, color=3) == {"color": (), "colour": ()}
    found = merging.merge({"a": {"t-shirt": 3, "T shirt": 1}, "b": {"tshirt": 2}}, 0.9, "en")
    assert found == [Term("t-shirt", ("tshirt", "T shirt"), {"a": 4, "b": 2})]


def test_words_that_differ_are_other_terms():
    different = {"grey_horse": 1, "grey_house": 1, "walking": 1, "talking": 1, "room_101": 1}
    assert merged(
        **different, room_102=1, basketball=1, baseball=1, men=1, women=1
    ) == dict.fromkeys(
        sorted(
            [one.replace("_", " ") for one in different]
            + ["room 102", "basketball", "baseball", "men", "women"]
        ),
        (),
    )


def test_stems_are_of_the_language():
    assert merged(language="de", Hund=2, Hunde=1) == {"Hund": ("Hunde",)}
    with pytest.raises(errors.ConfigError, match=r"config.terms.language is 'xx'"):
        merged(language="xx", dog=1)


def term(name, **sources):
    return Term(name, (), sources)


def test_every_source_has_its_share_and_what_one_lacks_goes_to_others():
    many = [term(f"a{n}", a=100 - n) for n in range(10)]
    few = [term("b0", b=1)]
    some = [term(f"c{n}", c=50 - n) for n in range(4)]
    taken = balancing.shared([*many, *few, *some], 9)
    assert [one.term for one in taken] == ["a0", "a1", "a2", "a3", "b0", "c0", "c1", "c2", "c3"]
    both = [term("x", a=5, b=5), term("y", a=4), term("z", b=3)]
    assert [one.term for one in balancing.shared(both, 2)] == ["x", "z"]
    assert balancing.shared(both, 10) == both


def test_weights_are_those_of_metaclip():
    assert [balancing.weight(count, 20) for count in (1, 20, 40, 2000)] == [1, 1, 0.5, 0.01]


@pytest.fixture
def files(tmp_path):
    captions = ["A man is riding a big wave on a surfboard."] * 3
    captions += ["A surfer rides a wave", "Two dogs play with a frisbee in the park."] * 2
    (tmp_path / "captions.json").write_text(
        json.dumps({"annotations": [{"caption": one} for one in captions]})
    )
    (tmp_path / "labels.csv").write_text("label_id,label_name\n0,Frisbee\n1,Vehicle\n2,Waves\n")
    return (f"coco={tmp_path / 'captions.json'}", f"yt8m={tmp_path / 'labels.csv'}")


def test_keywords_and_labels_are_terms(files):
    pytest.importorskip("yake")
    rows = table.build(Terms(files=files, share=1.0, limit=2), shown=False).to_pylist()
    by_term = {row["term"]: row for row in rows}
    assert by_term["wave"]["count"] == 6
    assert dict(by_term["wave"]["sources"]) == {"coco": 5, "yt8m": 1}
    assert by_term["wave"]["forms"] == ["Waves"]
    assert by_term["wave"]["weight"] == pytest.approx(1 / 3)
    assert dict(by_term["frisbee"]["sources"]) == {"coco": 2, "yt8m": 1}
    assert by_term["Vehicle"]["weight"] == 1
    assert "surfboard" in by_term
    words = {word for row in rows for word in (row["term"].split()[0], row["term"].split()[-1])}
    assert not words & {"a", "is", "on", "with", "in", "the"}
    counts = [row["count"] for row in rows]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_the_same_files_give_the_same_bytes(files, tmp_path, ending):
    pytest.importorskip("yake")
    cfg = Terms(files=files)
    written = []
    for name in ("a", "b"):
        table.write(table.build(cfg, shown=False), tmp_path / f"{name}{ending}")
        written.append((tmp_path / f"{name}{ending}").read_bytes())
    assert written[0] == written[1]
    turned = dataclasses.replace(cfg, files=files[::-1])
    table.write(table.build(turned, shown=False), tmp_path / f"c{ending}")
    assert (tmp_path / f"c{ending}").read_bytes() == written[0]


def test_forms_of_files_hold_the_same(files, tmp_path):
    rows = table.build(Terms(files=files[1:]), shown=False)
    for ending in table.FORMATS:
        table.write(rows, tmp_path / f"t{ending}")
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == rows.to_pylist()
    lines = (tmp_path / "t.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "term": "Frisbee",
        "count": 1,
        "sources": {"yt8m": 1},
        "forms": [],
        "weight": 1.0,
    }
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == 'Frisbee,1,"{""yt8m"": 1}",[],1.0'


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"files": ()}, "config.terms.files is empty"),
        ({"least_count": 5}, "no term is in 5 texts or more"),
    ],
)
def test_nothing_is_told(files, changes, told):
    with pytest.raises(errors.LbJaxError, match=told):
        table.build(dataclasses.replace(Terms(files=files[1:]), **changes), shown=False)


def test_wrong_settings_are_told():
    for wrong in ({"most": 0}, {"similarity": 0.0}, {"share": 2.0}, {"limit": 0}):
        with pytest.raises(errors.ConfigError, match=r"config\.terms"):
            Terms(**wrong)

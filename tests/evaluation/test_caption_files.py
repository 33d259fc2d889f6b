"""Captions from files: every layout, and what is refused in one line."""

import json

import pytest

from lb_jax.core import errors
from lb_jax.evaluation import caption_files

ROWS = [("a", "a dog barks"), ("b", "rain falls"), ("a", "the dog is barking")]
REFERENCES = {"a": ["a dog barks", "the dog is barking"], "b": ["rain falls"]}


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


LAYOUTS = {
    "list.json": [{"video_id": id_, "desc": text} for id_, text in ROWS],
    "coco.json": {"annotations": [{"image_id": id_, "caption": text} for id_, text in ROWS]},
    "object.json": REFERENCES,
    "several.json": [{"videoID": id_, "enCap": texts} for id_, texts in REFERENCES.items()],
    "rows.jsonl": "".join(
        json.dumps({"path": f"x/{id_}.mp4", "caption": text}) + "\n" for id_, text in ROWS
    ),
    "rows.csv": "file,text\n" + "".join(f"{id_}.wav,{text}\n" for id_, text in ROWS),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_references_are_read_from_any_layout(name, tmp_path):
    path = write(tmp_path, name, LAYOUTS[name])
    assert caption_files.read(path, several=True) == REFERENCES


def test_points_in_names_stay(tmp_path):
    path = write(tmp_path, "c.jsonl", '{"path": "v/x_30.000_40.000.mp4", "caption": "a"}\n')
    assert list(caption_files.read(path, several=False)) == ["x_30.000_40.000"]


def test_a_file_of_captions_has_its_figures(tmp_path):
    said = write(tmp_path, "said.json", {"a": "a dog barks", "b": "it rains"})
    truth = write(tmp_path, "truth.json", REFERENCES)
    found, lines = caption_files.score(said, truth)
    assert [(one.id, one.said, one.references) for one in lines] == [
        ("a", "a dog barks", ("a dog barks", "the dog is barking")),
        ("b", "it rains", ("rain falls",)),
    ]
    assert (found["n"], found["references"], found["tokeniser"]) == (2, 3, "ptb-python-1")
    assert found["per_item"]["a"]["ROUGE-L"] == 1
    assert found["per_item"]["b"]["BLEU-4"] < 1e-3
    json.dumps(found)


@pytest.mark.parametrize(
    ("said", "truth", "file", "message"),
    [
        ({"a": "x"}, REFERENCES, "said", r"1 item \(b\) of 2 without a caption"),
        ({"a": "x", "b": "y", "c": "z"}, REFERENCES, "said", r"1 item \(c\) without references"),
        ([{"id": "a", "caption": "x"}, {"id": "a", "caption": "y"}], REFERENCES, "said", "again"),
        ({"a": "x"}, [{"caption": "no id"}], "truth", "entry 1 has no id"),
        ({"a": "x"}, [{"id": "a"}], "truth", r"entry 1 \(a\) has None for a caption"),
        ({"a": "x"}, ["x"], "truth", "entry 1 is a str, expected an object"),
        ({"a": "x"}, "{", "truth", "is not JSON"),
        ({"a": "x"}, "7", "truth", "holds a int"),
        ({}, {}, "truth", "are none"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_file(said, truth, file, message, tmp_path):
    paths = write(tmp_path, "said.json", said), write(tmp_path, "truth.json", truth)
    with pytest.raises(errors.DataError, match=rf"{file}\.json: .*{message}") as caught:
        caption_files.score(*paths)
    assert "\n" not in str(caught.value)


def test_other_files_and_columns_are_refused(tmp_path):
    with pytest.raises(errors.DataError, match=r"ending '.txt', expected one of .json, .csv"):
        caption_files.read(tmp_path / "x.txt", several=True)
    path = write(tmp_path, "x.csv", "name,caption\na,b\n")
    with pytest.raises(errors.DataError, match="has no column id, video_id"):
        caption_files.read(path, several=True)
    with pytest.raises(errors.DataError, match="no such file"):
        caption_files.read(tmp_path / "x.json", several=True)

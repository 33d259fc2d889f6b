"""Every form is told by its content and read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lb_jax.builder.terms import forms
from lb_jax.core import errors


def coco_captions(folder):
    rows = [{"image_id": 1, "id": 7, "caption": "A man rides a wave."}, {"caption": "A dog.\n"}]
    return write(folder, "captions_train2017.json", {"info": {}, "images": [], "annotations": rows})


def coco_instances(folder):
    categories = [
        {"supercategory": "person", "id": 1, "name": "person"},
        {"supercategory": "outdoor", "id": 13, "name": "stop sign"},
        {"supercategory": "outdoor", "id": 14, "name": "parking meter"},
    ]
    rows = [{"id": n, "category_id": one, "bbox": []} for n, one in enumerate((13, 1, 13))]
    return write(folder, "instances.json", {"categories": categories, "annotations": rows})


def msrvtt(folder):
    sentences = [{"caption": "a person is cooking", "video_id": "video0", "sen_id": 1}]
    videos = [{"category": 9, "video_id": "video0"}]
    return write(folder, "train_val.json", {"videos": videos, "sentences": sentences})


def msrvtt_categories(folder):
    (folder / "category.txt").write_text("music\t0\nhow-to/ diy\t1\n")
    return folder / "category.txt"


def hmdb_splits(folder):
    for name in ("brush_hair", "ride_bike"):
        for split in (1, 2, 3):
            lines = [f"film_{n}.avi {n % 3} " for n in range(4 if name == "brush_hair" else 3)]
            (folder / f"{name}_test_split{split}.txt").write_text("\n".join(lines))
    return folder


def class_folders(folder):
    for name, count in (("brush_hair", 2), ("draw_sword", 0)):
        (folder / name).mkdir()
        for n in range(count):
            (folder / name / f"{n}.avi").write_bytes(b"")
    return folder


def synset_mapping(folder):
    lines = ["n01440764 tench, Tinca tinca", "n01484850 great white shark, white shark"]
    (folder / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    return folder / "LOC_synset_mapping.txt"


def words(folder):
    (folder / "words.txt").write_text("n00001740\tentity\nn01440764\ttench, Tinca tinca\n")
    return folder / "words.txt"


def class_index(folder):
    return write(
        folder,
        "imagenet_class_index.json",
        {"0": ["n01440764", "tench"], "2": ["n01484850", "great_white_shark"]},
    )


def ava_21(folder):
    text = (
        'label {\n  name: "bend/bow (at the waist)"\n  label_id: 1\n  label_type: MOVEMENT\n}'
        '\nlabel {\n  name: "answer phone"\n  label_id: 17\n  label_type: OBJECT_MANIPULATION\n}\n'
    )
    (folder / "ava_action_list_v2.1.pbtxt").write_text(text)
    return folder / "ava_action_list_v2.1.pbtxt"


def ava_22(folder):
    text = 'item {\n  name: "stand"\n  id: 12\n}\nitem {\n  name: "watch (e.g., TV)"\n  id: 61\n}\n'
    (folder / "ava_action_list_v2.2.pbtxt").write_text(text)
    return folder / "ava_action_list_v2.2.pbtxt"


def vocabulary(folder):
    (folder / "vocabulary.csv").write_text(
        "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,"
        "WikiDescription\n"
        '0,788288,/m/03bt1gh,Game,https://en.wikipedia.org/wiki/Game,Games,,,"A game, any."\n'
        "1,539945,/m/01mw1,Video game,https://en.wikipedia.org/wiki/Video_game,Games,,,\n"
        "2,10,/m/0,,,,,,\n"
    )
    return folder / "vocabulary.csv"


def label_names(folder):
    (folder / "label_names_2018.csv").write_text("label_id,label_name\n0,Game\n1,Vehicle\n")
    return folder / "label_names_2018.csv"


def lines(folder):
    (folder / "mine.txt").write_text("dog\n\na dog runs over a field\n")
    return folder / "mine.txt"


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))
    return folder / name


CASES = [
    (coco_captions, "COCO captions", [("A man rides a wave.", 1), ("A dog.\n", 1)]),
    (coco_instances, "COCO instances", [("person", 1), ("stop sign", 2)]),
    (msrvtt, "MSR-VTT", [("a person is cooking", 1)]),
    (msrvtt_categories, "MSR-VTT categories", [("music", 1), ("how-to/ diy", 1)]),
    (hmdb_splits, "HMDB-51 splits", [("brush hair", 4), ("ride bike", 3)]),
    (class_folders, "class folders", [("brush hair", 2), ("draw sword", 1)]),
    (
        synset_mapping,
        "ImageNet synsets",
        [("tench", 1), ("Tinca tinca", 1), ("great white shark", 1), ("white shark", 1)],
    ),
    (words, "ImageNet synsets", [("entity", 1), ("tench", 1), ("Tinca tinca", 1)]),
    (class_index, "ImageNet class index", [("tench", 1), ("great white shark", 1)]),
    (ava_21, "AVA actions", [("bend/bow (at the waist)", 1), ("answer phone", 1)]),
    (ava_22, "AVA actions", [("stand", 1), ("watch (e.g., TV)", 1)]),
    (vocabulary, "YouTube-8M vocabulary", [("Game", 788288), ("Video game", 539945)]),
    (label_names, "YouTube-8M label names", [("Game", 1), ("Vehicle", 1)]),
    (lines, "lines", [("dog", 1), ("a dog runs over a field", 1)]),
]
CAPTIONS = {"COCO captions", "MSR-VTT"}


def test_every_form_is_in_this_table():
    assert {name for _, name, _ in CASES} | {"column"} == {form.name for form in forms.FORMS}


@pytest.mark.parametrize(("make", "name", "expected"), CASES)
def test_a_form_is_told_and_read(tmp_path, make, name, expected):
    _, file = forms.parse(f"it={make(tmp_path)}")
    form = forms.form_of(file)
    assert form.name == name
    texts = list(form.read(file))
    assert [(one.text, one.count) for one in texts] == expected
    kind = forms.CAPTION if name in CAPTIONS else forms.LABEL
    assert {one.kind for one in texts} == {forms.EITHER if name == "lines" else kind}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_column_of_a_table_is_read(tmp_path, ending):
    path = tmp_path / f"table{ending}"
    if ending == ".csv":
        path.write_text("title,other\na dog,1\n,2\n")
    elif ending == ".jsonl":
        path.write_text('{"title": "a dog"}\n{"other": 1}\n')
    else:
        pq.write_table(pa.table({"title": ["a dog", None]}), path)
    name, file = forms.parse(f"mine={path}:title")
    assert name == "mine"
    assert [(one.text, one.kind) for one in forms.form_of(file).read(file)] == [
        ("a dog", forms.EITHER)
    ]


def test_a_name_is_that_of_the_file_where_none_is_given(tmp_path):
    path = lines(tmp_path)
    assert forms.parse(str(path)) == ("mine", forms.File(path))
    with pytest.raises(errors.ConfigError, match="expected NAME=PATH"):
        forms.parse("mine=")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", '{"images": [], "info": {}}', "a JSON object with images, info. There are COCO"),
        ("a.json", "[1]", "JSON, a list"),
        ("a.csv", "title,other\nx,y\n", "a table without a named column, with title, other"),
        ("a.bin", "x", "a file .bin"),
        ("a.json", "{", "line 1"),
    ],
)
def test_a_form_that_is_none_is_told(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    with pytest.raises(errors.DataError) as caught:
        forms.form_of(forms.File(tmp_path / name))
    assert told in str(caught.value)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(errors.DataError, match="is not there"):
        forms.form_of(forms.File(tmp_path / "nothing.json"))
    (tmp_path / "a.csv").write_text("title,other\nx,y\n")
    _, file = forms.parse(f"a={tmp_path / 'a.csv'}:titel")
    with pytest.raises(errors.DataError, match=r"no column 'titel'; it has title.*mean 'title'"):
        list(forms.form_of(file).read(file))
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.DataError, match="a folder with nothing"):
        forms.form_of(forms.File(tmp_path / "empty"))
    (tmp_path / "captions.json").write_text('{"annotations": [{"caption": "x"}, {"id": 1}]}')
    file = forms.File(tmp_path / "captions.json")
    with pytest.raises(errors.DataError, match="annotations 1: has no text in 'caption'"):
        list(forms.form_of(file).read(file))

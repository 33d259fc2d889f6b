"""VALOR's annotations, and where the media of an item lie."""

import json
import pickle

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import captions, sources, valor_files
from lb_jax.corpora.valor import Valor
from lb_jax.corpora.vidal import Vidal
from lb_jax.media import preprocess, specs
from tests.media import media_files

MAPPER = {"a": "a cat", "b": ["a dog barks", "it barks"], "c": "rain"}
ASKED = {
    "a": [
        {"question": "what purrs?", "answer": "cat"},
        {
            "question": "how many?",
            "answer": ["one", "two"],
            "answer_weights": [0.75, 0.25],
            "question_id": 17,
            "choice": ["one", "two", "three"],
        },
    ],
    "b": [{"question": "who barks", "answer": "dog"}],
}
DESC = [{"video_id": id_, "desc": text} for id_, text in (("c", "rain"), ("a", "a cat"))]
REFERENCES = [{"video_id": "a", "caption": "a cat"}, {"video_id": "b", "caption": "a dog"}]
REFERENCES += [{"video_id": "a", "caption": "it purrs"}]


def _write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path):
    """Ids, texts and media as published: frames and wav; "b" has no sound."""
    _write(tmp_path / "ids.json", ["c", "a", "b"])
    _write(tmp_path / "txt_mapper.json", MAPPER | {"other": "of another split"})
    for id_ in "abc":
        (tmp_path / "frames_fps4" / id_).mkdir(parents=True)
        for number in range(3):
            shown = media_files.picture(np.full((8, 9, 3), 80 * number, np.uint8), "JPEG")
            (tmp_path / "frames_fps4" / id_ / f"frame_{number:04d}.jpg").write_bytes(shown)
    (tmp_path / "audio_22050hz").mkdir()
    for id_ in "ac":
        heard = media_files.sound(media_files.noise(22050), 22050)
        (tmp_path / "audio_22050hz" / f"{id_}.wav").write_bytes(heard)
    return tmp_path


def test_a_folder_of_ids_and_texts_has_the_rows_of_the_ids(folder):
    for path in (folder, folder / "ids.json"):
        source = sources.open_source(path)
        assert type(source) is Valor
        assert [source[i].id for i in range(len(source))] == ["c", "a", "b"]
        assert source[2].texts == {"caption": ("a dog barks", "it barks")}
        assert (source.modalities, source.text_kinds) == (("video", "audio"), ("caption",))
        assert source.having("audio").tolist() == [0, 1]
        assert source.having("depth").tolist() == []
        again = pickle.loads(pickle.dumps(source))
        assert [again[i] for i in range(3)] == [source[i] for i in range(3)]


def test_all_captions_of_an_item_are_there_and_the_first_is_first(folder):
    row = sources.open_source(folder)[2]
    assert captions.all_texts(row, "caption") == ["a dog barks", "it barks"]
    texts, rows = captions.numbered(sources.open_source(folder), "caption")
    assert (texts, rows.tolist()) == (["rain", "a cat", "a dog barks", "it barks"], [0, 1, 2, 2])
    texts, rows = captions.numbered(sources.open_source(folder), "caption", first_only=True)
    assert (texts, rows.tolist()) == (["rain", "a cat", "a dog barks"], [0, 1, 2])
    with pytest.raises(errors.DataError, match="c: lacks question"):
        captions.numbered(sources.open_source(folder), "question")
    drawn = {captions.draw_text(row, "caption", np.random.default_rng(s))[0] for s in range(20)}
    assert drawn == {"a dog barks", "it barks"}


def test_frames_and_sound_of_a_row_are_what_the_encoders_take(folder):
    media = sources.open_source(folder)[1].media
    (clip,), (sound,) = media["video"], media["audio"]
    assert [one.name for one in clip] == [f"frame_{n:04d}.jpg" for n in range(3)]
    spec = specs.VideoSpec(frames=3, size=8, choice="chunks", shape="stretch", train_crop="centre")
    assert preprocess.preprocess("video", [clip], spec).shape == (1, 3, 8, 8, 3)
    assert preprocess.preprocess("audio", sound, preset="valor").shape == (1, 1, 64, 512)


def test_the_sound_of_films_is_their_track(tmp_path):
    (tmp_path / "videos").mkdir()
    for id_, sound in (("a", True), ("b", False)):
        (tmp_path / "videos" / f"{id_}.mp4").write_bytes(media_files.clip(sound=sound))
    (tmp_path / "videos" / "c.jpg").write_bytes(media_files.picture(media_files.scene(), "JPEG"))
    source = sources.open_source(_write(tmp_path / "desc_train.json", DESC))
    assert source[1].media == dict.fromkeys(("video", "audio"), (tmp_path / "videos" / "a.mp4",))
    assert source[0].media == {"video": (tmp_path / "videos" / "c.jpg",)}


def test_ids_may_bear_dots_and_endings(tmp_path):
    (tmp_path / "video" / "x_1.5_2.5").mkdir(parents=True)
    (tmp_path / "video" / "x_1.5_2.5" / "0.jpg").touch()
    for name in ("y_1.5_2.5.mp4", "z.mp4"):
        (tmp_path / "video" / name).touch()
    mapper = dict.fromkeys(("x_1.5_2.5", "y_1.5_2.5", "z.mp4"), "a cat")
    source = Valor(_write(tmp_path / "m.json", mapper))
    assert source.having("video").tolist() == [0, 1, 2]


def test_the_folders_may_have_other_names(folder):
    (folder / "audio_22050hz").rename(folder / "wav")
    path = _write(folder / "desc_test.json", DESC)
    assert sources.open_source(path).modalities == ("video",)
    named = sources.open_source(path, root=folder, columns={"audio": "wav"})
    assert named.modalities == ("video", "audio")
    with pytest.raises(errors.DataError, match=r"none: is no folder; expected that of the audio"):
        sources.open_source(path, columns={"audio": "none"})
    with pytest.raises(errors.ConfigError, match=r"columns name 'vidoe'.*mean 'video'"):
        sources.open_source(path, columns={"vidoe": "frames_fps4"})


def test_each_question_is_a_row_with_its_answers(folder):
    source = sources.open_source(_write(folder / "qa.json", ASKED))
    assert [source[i].id for i in range(len(source))] == ["a", "a", "b"]
    assert source.items == ("a", "b")
    assert source[1].texts == {"question": "how many?", "answer": ("one", "two")}
    assert source.text_kinds == ("question", "answer")
    asked = source.entries[1]
    assert (asked.question_id, asked.weights) == ("17", (0.75, 0.25))
    assert asked.choice == ("one", "two", "three")
    assert source.entries[0].weights == (1.0,)
    source.require(["question", "answer"])
    with pytest.raises(errors.DataError, match=r"qa\.json: a: lacks caption; it has question"):
        source.require(["caption"])


@pytest.mark.parametrize("content", [REFERENCES, {"annotations": REFERENCES, "info": {}}])
def test_references_are_all_captions_of_an_id(tmp_path, content):
    path = _write(tmp_path / "references.json", content)
    assert valor_files.read_references(path) == {"a": ("a cat", "it purrs"), "b": ("a dog",)}


def test_references_by_numbers_are_read(tmp_path):
    path = _write(tmp_path / "r.json", {"annotations": [{"image_id": 3, "id": 1, "caption": "x"}]})
    assert valor_files.read_references(path) == {"3": ("x",)}
    with pytest.raises(errors.DataError, match=r"holds questions .*expected captions"):
        valor_files.read_references(_write(tmp_path / "qa.json", ASKED))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"desc": "a cat"}], r"entry 0: has no video_id or image_id \(it has desc\)"),
        ([{"video_id": "", "desc": "a cat"}], "entry 0: has no video_id"),
        ([{"video_id": "a", "text": "a cat"}], r"entry 0 \(a\): has no caption \(found NoneType"),
        ([{"video_id": "a", "desc": " "}], "has no caption"),
        ([3], "entry 0: is int; expected"),
        ({"annotations": [{"caption": "a"}]}, "entry 0: has no video_id"),
        ({"annotations": []}, "holds a list of 0"),
        ([], "holds a list of 0"),
        ({"a": []}, "a: has no caption"),
        ({"a": "a cat", "b": 3}, "b: has no caption"),
        ({"a": [{"answer": "cat"}]}, "a, question 0: has no text .*under question"),
        ({"a": [{"question": " ", "answer": "cat"}]}, "question 0: has no text"),
        ({"a": [{"question": "x", "answer": 3}]}, "has 3 under answer"),
        (
            {"a": [{"question": "x", "answer": ["y"], "answer_weights": [1, 2]}]},
            r"has 1 answer and answer_weights \[1, 2\]",
        ),
        ('{"a": "x", "a": "y"}', "'a' twice"),
        ('["a",\n', "line 2, column 1"),
        (["a", "nobody"], r"txt_mapper\.json: has no text of 'nobody', which x\.json names"),
        (["a", "a"], "has 'a' twice"),
        ({"nobody": "a cat"}, "has 1 item, none of them in .*say where the media lie"),
    ],
)
def test_bad_annotations_are_refused_in_one_line(folder, content, reason):
    path = _write(folder / "x.json", content)
    with pytest.raises(errors.DataError, match=reason) as caught:
        sources.open_source(path)
    assert "\n" not in str(caught.value)


def test_a_row_without_media_is_refused_when_it_is_read(folder):
    source = sources.open_source(_write(folder / "x.json", {"a": "a cat", "nobody": "a dog"}))
    assert source.having("video").tolist() == [0]
    with pytest.raises(errors.DataError, match=r"x\.json: nobody: has no file in .*frames_fps4"):
        source[1]


def test_an_annotation_without_media_folders_is_refused(tmp_path):
    path = _write(tmp_path / "desc_val.json", DESC)
    with pytest.raises(errors.DataError, match=r"has no folder of media .*raw_videos"):
        sources.open_source(path)


def test_annotations_of_vidal_stay_what_they_are(tmp_path):
    path = _write(tmp_path / "anno.json", {"a": {"folder": "f", "raw": "x"}})
    assert type(sources.open_source(path)) is Vidal


def test_a_table_of_videos_sounds_and_questions_has_the_same_rows(tmp_path):
    _write(
        tmp_path / "t.csv",
        "video,audio,caption,question,answer\na.mp4,a.wav,a cat,what purrs?,cat\nb.mp4,,rain,,\n",
    )
    source = sources.open_source(tmp_path / "t.csv")
    assert source[0].texts == {"caption": "a cat", "question": "what purrs?", "answer": "cat"}
    assert source[0].media == {"video": (tmp_path / "a.mp4",), "audio": (tmp_path / "a.wav",)}
    assert (source[1].texts, list(source[1].media)) == ({"caption": "rain"}, ["video"])
    assert captions.usual_kind(source.text_kinds, "video") == "caption"

"""Test sets whose items have several rows: questions by their own names, captions by their item."""

import json

import pytest

from lb_jax.evaluation.benchmarks.splits import Question
from tests.evaluation.benchmarks.layouts.folders import change, new, read, write

FILES = {  # the file with the questions, of the sets whose questions have a number
    "msrvtt_qa": "test_qa.json",
    "msvd_qa": "test_qa.json",
    "activitynet_qa": "test_q.json",
    "music_avqa": "avqa-test.json",
}


def changed(path, how):
    rows = json.loads(path.read_text())
    how(rows)
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize("name", FILES)
def test_a_question_that_comes_twice_counts_once(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    changed(folder / FILES[name], lambda rows: rows.append(rows[0]))
    after = read(folder)
    assert new(before, after) == [("duplicate", before.ids[0], None)]
    assert after.questions == before.questions


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("question", ["", 7, None, "half \ud83d"])
def test_a_question_without_words_is_left_out_and_its_item_stays(name, question, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    key = "question_content" if name == "music_avqa" else "question"
    video = "video_name" if name == "activitynet_qa" else "video_id"

    def more(rows):
        rows.append({**rows[0], key: question, "id": 99, "question_id": 99, video: rows[0][video]})

    changed(folder / FILES[name], more)
    after = read(folder)
    assert new(before, after) == [("annotation", before.ids[0], None)]
    assert after.questions == before.questions


@pytest.mark.parametrize("name", FILES)
def test_a_question_of_no_video_is_named_by_its_place(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    video = "video_name" if name == "activitynet_qa" else "video_id"
    changed(folder / FILES[name], lambda rows: rows.append({**rows[0], video: None}))
    count = len(json.loads((folder / FILES[name]).read_text()))
    after = read(folder)
    assert new(before, after) == [("annotation", f"entry {count} of {FILES[name]}", None)]
    assert after.questions == before.questions


def test_an_answer_that_is_not_there_leaves_its_question_out(tmp_path):
    folder = write(tmp_path, "activitynet_qa")
    before = read(folder)
    changed(folder / "test_a.json", lambda rows: rows.pop(0))
    after = read(folder)
    assert after.questions["v_aaa"] == (Question("where", "park"),)
    assert new(before, after) == [("annotation", "v_aaa", None)]


def test_a_clip_that_the_mapping_lacks_is_named(tmp_path):
    folder = write(tmp_path, "msvd_qa")
    change(folder / "youtube_mapping.txt", lambda text: text.replace(" vid1", ""))
    found = read(folder)
    assert found.ids == ("mv89psg6zh4_2_11",)
    reasons = [one.reason for one in found.problems if one.kind == "annotation"]
    assert reasons[0].startswith("expected a clip and vid<number>, found 'mv89psg6zh4_0_9'")
    assert reasons[1:] == ["names no video that there is; it is left out"] * 2


@pytest.mark.parametrize("words", ['["piano"]', "[1, 2]", "piano", None])
def test_words_that_do_not_fit_their_places_leave_the_question_out(words, tmp_path):
    folder = write(tmp_path, "music_avqa")
    changed(folder / "avqa-test.json", lambda rows: rows[0].update(templ_values=words))
    found = read(folder)
    assert found.ids == ("00000294",)
    assert [one.kind for one in found.problems] == ["annotation", "extra"]


def test_a_gif_is_named_as_an_ending_to_convert(tmp_path):
    folder = write(tmp_path, "tgif_qa")
    path = folder / "gifs/tumblr_a1.mp4"
    path.rename(path.with_suffix(".gif"))
    (problem,) = read(folder).problems
    assert "there is tumblr_a1.gif, an ending that is not read" in problem.reason


@pytest.mark.parametrize("file", ["test_videodatainfo.json", "MSRVTT_data.json"])
def test_of_all_videos_of_msrvtt_the_test_ones_count(file, tmp_path):
    folder = write(tmp_path, "msrvtt_caption")
    (folder / "test_videodatainfo.json").rename(folder / file)
    found = read(folder)
    assert found.ids == ("video7010", "video7011")
    assert not found.problems


@pytest.mark.parametrize(
    ("name", "file"), [("msrvtt_caption", "test_videodatainfo.json"), ("coco", "dataset_coco.json")]
)
def test_an_item_listed_twice_keeps_its_first_row(name, file, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    list_name = "videos" if name == "msrvtt_caption" else "images"
    changed(folder / file, lambda value: value[list_name].append(value[list_name][0]))
    after = read(folder)
    assert new(before, after) == [("duplicate", before.ids[0], None)]
    assert after.texts == before.texts

"""Captions of many files: what is written, and not again, and the bytes after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from lb_jax.core import errors
from lb_jax.corpora import media_files as sources
from lb_jax.inference import opening
from lb_jax.search import bulk_captions
from tests.inference import fake, valor_models
from tests.media import media_files
from tests.search import runs

RUN = "import sys; from lb_jax.cli import main; sys.exit(main.main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return valor_models.save(tmp_path_factory.mktemp("valor") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return opening.load_writer(folder, batch_size=2)


@pytest.fixture
def media(tmp_path):
    """A silent film, one with sound, a sound, equal pictures, what is broken and what is none."""
    (tmp_path / "media").mkdir()
    content = {
        "1-silent.mp4": media_files.clip(rough=True),
        "2-loud.mp4": media_files.clip(sound=True),
        "3-rain.wav": media_files.sound(media_files.noise(16000)),
        "4-scene.png": fake.colour(seed=1),
        "5-broken.mp4": b"no film",
        "6-copy.png": fake.colour(seed=1),
        "notes.txt": b"a note",
    }
    for name, one in content.items():
        (tmp_path / "media" / name).write_bytes(one)
    return tmp_path / "media"


def run(media, model, out, group=None, **settings):
    """Summary, rows, and the lines of the quarantine list."""
    found = bulk_captions.find([media], model, group)
    settings = {"workers": 1, "shown": False, **settings}
    summary = bulk_captions.run(found, model, out, group=group, **settings)
    listed = out.with_name(f"{out.name}.quarantine.jsonl")
    lists = (path.read_text().splitlines() if path.exists() else () for path in (out, listed))
    return summary, *([json.loads(line) for line in lines] for lines in lists)


def named(rows):
    return [row["path"].rpartition("/")[2] for row in rows]


def test_each_file_has_the_caption_that_the_model_gives_it(media, model, tmp_path):
    summary, rows, listed = run(media, model, tmp_path / "c.jsonl")
    assert named(rows) == ["1-silent.mp4", "2-loud.mp4", "3-rain.wav", "4-scene.png", "6-copy.png"]
    assert [row["group"] for row in rows] == ["tv", "tva", "ta", "tv", "tv"]
    for row in rows:
        assert [row["caption"]] == model.caption(row["group"], row["path"])
        assert row["writer"].startswith(
            f"model={model.digest[:16]} dtype=float32 group=any beams=3"
        )
    assert named(listed) == ["5-broken.mp4"]
    assert (summary.files, summary.written, summary.reused, summary.bad) == (6, 4, 1, 1)
    assert summary.captions == {row["path"]: row["caption"] for row in rows}

    before = (tmp_path / "c.jsonl").read_bytes()
    summary, _, _ = run(media, model, tmp_path / "c.jsonl")
    assert (summary.written, summary.unchanged, summary.bad) == (0, 5, 1)
    assert (tmp_path / "c.jsonl").read_bytes() == before

    # what changed, moved, was mended, came or lies elsewhere
    (media / "5-broken.mp4").write_bytes((media / "2-loud.mp4").read_bytes())
    (media / "2-loud.mp4").write_bytes((media / "1-silent.mp4").read_bytes())
    (media / "1-silent.mp4").write_bytes(b"broken now")
    (media / "3-rain.wav").rename(media / "0-rain.wav")
    os.utime(media / "4-scene.png", (1, 1))
    summary, rows, listed = run(media, model, tmp_path / "c.jsonl")
    gone = str(media / "3-rain.wav")
    assert [row["path"] for row in rows[:1]] == [gone]  # nothing is taken out for a path that went
    assert (summary.written, summary.reused, summary.unchanged) == (0, 4, 1)
    _, fresh, _ = run(media, model, tmp_path / "fresh.jsonl")
    assert rows[1:] == fresh
    assert named(fresh) == ["0-rain.wav", "2-loud.mp4", "4-scene.png", "5-broken.mp4", "6-copy.png"]
    assert named(listed) == ["1-silent.mp4"]


def test_a_group_that_is_asked_for_is_not_replaced(media, model, tmp_path):
    summary, rows, listed = run(media, model, tmp_path / "c.jsonl", "ta", max_bad_rate=1)
    assert named(rows) == ["2-loud.mp4", "3-rain.wav"]
    assert {row["group"] for row in rows} == {"ta"}
    assert named(listed) == ["1-silent.mp4", "5-broken.mp4"]
    assert "is a film without a sound track, and ta needs audio" in listed[0]["reason"]
    assert summary.files == 4
    found = bulk_captions.find([media], model, "ta")
    assert "image left out by --group" in found.left_out
    with pytest.raises(errors.DataError, match="nothing to caption as video, image"):
        bulk_captions.find([media / "3-rain.wav"], model, "tv")


EVERY = ("tva", "tv", "ta")
# Groups of a model, group that is asked for: kind of a file -> the groups it may be written from.
CHOICES = {
    (EVERY, None): {"mp4": ("tva", "tv", "ta"), "wav": ("ta",), "png": ("tv",)},
    (EVERY, "tva"): {"mp4": ("tva",)},
    (EVERY, "tv"): {"mp4": ("tv",), "png": ("tv",)},
    (EVERY, "ta"): {"mp4": ("ta",), "wav": ("ta",)},
    (("tv",), None): {"mp4": ("tv",), "png": ("tv",)},
    (("ta",), None): {"mp4": ("ta",), "wav": ("ta",)},
}


@pytest.mark.parametrize("case", CHOICES)
def test_what_a_file_may_be_written_from(case, tmp_path):
    groups, asked = case
    model = types.SimpleNamespace(groups=groups, choices=lambda one: (one,) if one else groups)
    for name in ("a.mp4", "b.wav", "c.png"):
        (tmp_path / name).write_bytes(b"")
    found = bulk_captions.find([tmp_path], model, asked).sources
    assert {one.path.rpartition(".")[2]: one.modalities for one in found} == CHOICES[case]


def test_where_none_can_be_used_nothing_is_written(media, model, tmp_path):
    for name in ("1-silent.mp4", "2-loud.mp4"):
        (media / name).write_bytes(b"no film")
    for _ in range(2):  # again from the list
        with pytest.raises(errors.DataError, match=r"none of 3 files .* first: .*1-sil"):
            run(media, model, tmp_path / "c.jsonl", "tva", max_bad_rate=1)
    assert not (tmp_path / "c.jsonl").exists()
    with pytest.raises(errors.DataError, match=r"1-silent.mp4: is no video file"):
        run(media / "1-silent.mp4", model, tmp_path / "d.jsonl", "tva")
    assert not [*tmp_path.glob("d.*")]  # of one file the error says it all


def test_faults_of_ours_at_the_first_files_stop_a_run_and_keep_their_traceback(folder, tmp_path):
    model, out = opening.load_writer(folder, batch_size=2), tmp_path / "c.jsonl"
    model.specs = model.specs | {"video": fake.FaultyFilm(**vars(model.specs["video"]))}
    (tmp_path / "m").mkdir()
    for number in range(5):
        (tmp_path / "m" / f"{number}.png").write_bytes(fake.colour(red=255, seed=number))
    with pytest.raises(errors.InternalError, match="on the first 3 media files") as caught:
        run(tmp_path / "m", model, out)
    assert "no_such_thing" in str(caught.value.__cause__)
    listed = runs.listed(out.with_name("c.jsonl.quarantine.jsonl"))
    assert named(listed) == ["0.png", "1.png", "2.png"]
    assert all(row["traceback"].startswith("Traceback (most recent") for row in listed)


def test_a_film_file_that_only_sounds_is_written_of_by_its_sound(model, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "sound.mp4").write_bytes(media_files.coded_sound("mp4", "aac"))
    _, rows, _ = run(tmp_path / "m", model, tmp_path / "c.jsonl")
    assert [row["group"] for row in rows] == ["ta"]


def test_processes_that_decode_items_need_no_jax():
    code = "import sys, lb_jax.media.readings, lb_jax.search.bulk_captions; "
    code += "print('jax' in sys.modules, 'lancedb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_after_a_kill_the_same_command_ends_with_the_same_bytes(folder, model, tmp_path):
    media, out = tmp_path / "media", tmp_path / "killed.jsonl"
    media.mkdir()
    for number in range(60):
        content = fake.colour(seed=number) if number != 7 else b"no picture"
        (media / f"{number:02}.png").write_bytes(content)
    command = [
        sys.executable,
        "-c",
        RUN,
        "caption",
        str(media),
        f"--model={folder}",
        "-o",
        str(out),
    ]
    command += ["--workers=1", "--batch-size=2"]
    killed = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while killed.poll() is None and time.monotonic() < until and _lines(out) < 3:
        time.sleep(0.002)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = out.read_bytes()
    assert 3 <= _lines(out) < 59
    with out.open("ab") as file:  # as if the kill had come within a row
        file.write(b'{"path": "/half of')
    summary, rows, _ = run(media, model, out)
    assert summary.written + summary.unchanged == 59 == len(rows)
    assert summary.unchanged >= 3
    run(media, model, tmp_path / "unbroken.jsonl")
    whole = (tmp_path / "unbroken.jsonl").read_bytes()
    assert out.read_bytes() == whole
    assert whole.startswith(before)


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_source_says_what_it_is_and_the_groups_follow(media, model, tmp_path):
    rule = sources.parse_rule(r"2-loud=audio")
    found = bulk_captions.find([media / "2-loud.mp4"], model, rules=[rule])
    assert found.sources[0].modalities == ("ta",)

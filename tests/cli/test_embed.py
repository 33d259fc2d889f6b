"""`lb-jax embed`: what it writes, what it does not do twice, what it will not mix."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lb_jax.core.errors import DataError
from lb_jax.core.modalities import LANGUAGEBIND
from lb_jax.inference import opening
from lb_jax.media import faults
from lb_jax.text import readers, spec
from lb_jax.training.distributed import ADDRESS, COUNT, INDEX
from tests import goldens
from tests.inference import fake

MAIN = "import sys; from lb_jax.cli import main; sys.exit(main.main(sys.argv[1:]))"
MEDIA = goldens.FOLDER / "preprocess" / "media"


class Counting:
    """Stands in for a model: a vector per item, and a note of every item it was asked for."""

    def __init__(self, digest="d" * 64):
        self.digest, self.asked, self.batch_size = digest, [], 32

    preprocessing, width = "p" * 16, 2
    reader = readers.Pieces(spec.TextSpec())

    def preprocess(self, modality, items):
        self.asked += items
        return np.array([[len(item), 1] for item in items], np.float32)

    def at_once(self, modality):
        return self.batch_size

    def encode(self, modality, array):
        return array

    def embed(self, modality, items):
        return self.preprocess(modality, items)


@pytest.fixture
def counting(monkeypatch):
    model = Counting()
    monkeypatch.setattr(opening, "load_encoder", lambda folder: model)
    return model


def stored(path):
    with np.load(path) as file:
        return dict(zip(file["items"].tolist(), file["embeddings"], strict=True))


def test_file_holds_items_and_vectors_in_order(call, counting, tmp_path):
    result = call("embed --model=m --modality=text -o {tmp}/new/o.npz cat a dog a")
    assert result.status == 0
    assert result.out == f"{tmp_path}/new/o.npz: 3 embeddings of 2 dimensions\n"
    vectors = stored(tmp_path / "new" / "o.npz")
    assert list(vectors) == ["cat", "a", "dog"]
    np.testing.assert_array_equal(vectors["cat"], [3, 1])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["o.npz"]  # nothing partial


def test_second_call_embeds_only_what_is_new(call, counting, tmp_path):
    call("embed --model=m --modality=text -o {tmp}/o.npz cat dog")
    counting.asked.clear()
    assert call("embed --model=m --modality=text -o {tmp}/o.npz dog bird cat").status == 0
    assert counting.asked == ["bird"]
    assert list(stored(tmp_path / "o.npz")) == ["cat", "dog", "bird"]


def test_killed_call_keeps_what_was_embedded(call, counting, tmp_path):
    counting.batch_size = 2

    def dies_in_the_second_batch(modality, items):
        if counting.asked:
            raise KeyboardInterrupt
        return Counting.embed(counting, modality, items)

    counting.embed = dies_in_the_second_batch
    result = call("embed --model=m --modality=text -o {tmp}/o.npz a b c")
    assert (result.status, result.err.splitlines()[-1][:19]) == (130, "lb-jax: interrupted")
    assert list(stored(tmp_path / "o.npz")) == ["a", "b"]


def test_file_of_another_content_is_embedded_again(call, counting, media_dir, tmp_path):
    line = "embed --model=m --modality=image -o {tmp}/o.npz {tmp}/x.png"
    for source, asked in (("picture.png", 1), ("picture.png", 1), ("depth.png", 2)):
        shutil.copy(media_dir / source, tmp_path / "x.png")
        call(line)
        assert len(counting.asked) == asked
    assert len(stored(tmp_path / "o.npz")) == 1


def test_folder_gives_the_files_of_the_modality(call, counting, media_dir):
    assert call("embed --model=m --modality=audio -o {tmp}/o.npz {media}").status == 0
    expected = [f"{media_dir}/{name}sound.wav" for name in ("cut_", "empty_", "")]
    assert counting.asked == expected


def test_bad_files_are_listed_and_the_others_embedded(call, media_dir, tmp_path):
    line = "embed --model={model} --modality=image -o {tmp}/o.npz {tmp}/in"
    for name in ("picture.png", "cut_picture.png", "empty_picture.png", "sound.wav"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(media_dir / name, tmp_path / "in" / name)
    result = call(line)
    assert result.status == 0, result.err
    listed = tmp_path / "o.npz.quarantine.jsonl"
    assert result.out.splitlines() == [
        f"{tmp_path}/o.npz: 1 embedding of 64 dimensions, 2 in quarantine",
        "  left out: 1 file: .wav: not image",
        "  --list-left-out names them",
        f"  cannot be used: 2, see {listed}",
    ]
    rows = list(map(json.loads, listed.read_text().splitlines()))
    assert [Path(row["path"]).name for row in rows] == ["cut_picture.png", "empty_picture.png"]
    assert list(stored(tmp_path / "o.npz")) == [f"{tmp_path}/in/picture.png"]
    before = listed.read_bytes()
    assert "2 in quarantine" in call(line).out
    assert listed.read_bytes() == before
    shutil.copy(media_dir / "picture.png", tmp_path / "in" / "cut_picture.png")
    assert "2 embeddings of 64 dimensions, 1 in quarantine" in call(line).out
    assert len(listed.read_text().splitlines()) == 1
    assert (
        f"  left out: {tmp_path}/in/sound.wav: .wav: not image"
        in call(f"{line} --retry --list-left-out").out
    )


def test_too_many_bad_files_stop_an_npz_as_they_stop_a_store(call, counting, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(60):
        (tmp_path / "in" / f"{number:02}.png").write_bytes(b"")

    def refuse(modality, items):
        raise DataError(items[0], "is empty")

    counting.preprocess = refuse
    result = call("embed --model=m --modality=image -o {tmp}/o.npz {tmp}/in --max-bad-rate 0.1")
    assert (result.status, result.out) == (2, "")
    assert "50 of 50 samples cannot be used, more than --max-bad-rate=0.1" in result.err


def faulty(folder, model, *names):
    """A folder of such files, and decoding that fails where a name begins with `bad`."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)

    def preprocess(modality, items):
        if Path(items[0]).name.startswith("bad"):
            raise AttributeError("no such thing")
        return Counting.preprocess(model, modality, items)

    model.preprocess = preprocess


def test_a_fault_of_ours_is_listed_as_such_in_an_npz(call, counting, monkeypatch, tmp_path):
    line = "embed --model=m --modality=image -o {tmp}/o.npz {tmp}/in"
    faulty(tmp_path / "in", counting, "a.png", "bad1.png", "bad2.png")
    result = call(line)
    assert result.status == 0, result.err
    told = "2 in quarantine, 2 of them by faults of lb_jax, which need a report\n"
    assert result.out.splitlines(keepends=True)[0].endswith(told)
    for row in map(json.loads, (tmp_path / "o.npz.quarantine.jsonl").read_text().splitlines()):
        assert row["reason"].startswith("lb_jax failed, which is no fault of the file; report it: ")
        assert row["traceback"].startswith("Traceback (most recent call last):")
        assert row["versions"] == faults.versions()
    assert "faults" not in call(line).out  # of runs before
    monkeypatch.setattr(faults, "versions", lambda: "mended")
    assert "2 of them by faults" in call(line).out


def test_faults_at_the_first_files_stop_an_npz(call, counting, tmp_path):
    faulty(tmp_path / "in", counting, *(f"bad{number}.png" for number in range(5)), "ok.png")
    result = call("embed --model=m --modality=image -o {tmp}/o.npz {tmp}/in")
    assert (result.status, result.out) == (1, "")
    assert "lb_jax failed on the first 3 image files" in result.err
    assert not (tmp_path / "o.npz").exists()


def test_what_is_for_files_is_refused_for_texts(call, counting):
    result = call("embed --model=m --modality=text -o {tmp}/o.npz cat --retry")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "--retry goes with files, and texts are none" in result.err


def test_hidden_files_of_a_folder_are_left_out(call, counting, media_dir, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(media_dir / "sound.wav", folder / "sound.wav")
    (folder / "._sound.wav").write_bytes(b"what another system keeps beside it")
    assert call("embed --model=m --modality=audio -o {tmp}/o.npz {tmp}/in").status == 0
    assert counting.asked == [f"{folder}/sound.wav"]


def test_manifest_for_an_npz_is_refused_by_name(call, counting, tmp_path):
    (tmp_path / "m.csv").write_text("path,modality\na.png,depth\n")
    result = call("embed --model=m --modality=depth -o {tmp}/o.npz {tmp}/m.csv")
    assert result.status == 2
    assert "is a manifest, which an .npz does not take" in result.err


@pytest.mark.parametrize(
    ("digest", "modality", "message"),
    [
        ("e" * 64, "text", "holds text vectors of model dddddddddddd, not text of eeeeeeeeeeee"),
        ("d" * 64, "depth", "holds text vectors of model dddddddddddd, not depth of"),
    ],
)
def test_vectors_of_two_models_are_not_mixed(call, counting, tmp_path, digest, modality, message):
    call("embed --model=m --modality=text -o {tmp}/o.npz cat")
    before = (tmp_path / "o.npz").read_bytes()
    counting.digest = digest
    result = call(f"embed --model=m --modality={modality} -o {{tmp}}/o.npz {{media}}/depth.png")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert (tmp_path / "o.npz").read_bytes() == before


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not numpy", b"PK\x03\x04not a zip", npz(x=np.zeros(2)), npz(items=np.zeros(9))[:-9]],
    ids=["empty", "text", "half a zip", "other arrays", "cut"],
)
def test_foreign_file_is_not_overwritten(call, counting, tmp_path, content):
    (tmp_path / "o.npz").write_bytes(content)
    result = call("embed --model=m --modality=text -o {tmp}/o.npz cat")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "o.npz: not an embedding file" in result.err
    assert (tmp_path / "o.npz").read_bytes() == content


def test_text_goes_through_a_real_model(call, tmp_path):
    line = "embed --model={model} --modality=text -o {tmp}/o.npz 'a cat' 'a dog barking'"
    assert call(line).status == 0
    vectors = np.stack(list(stored(tmp_path / "o.npz").values()))
    assert vectors.shape == (2, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.golden
@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no golden media in {MEDIA}")
@pytest.mark.parametrize("modality", LANGUAGEBIND)
def test_golden_media_are_embedded(call, tmp_path, modality):
    files = sorted(map(str, MEDIA.glob(f"{modality}_*")))
    assert files
    line = f"embed --model={{model}} --modality={modality} -o {{tmp}}/o.npz {' '.join(files)}"
    result = call(line)
    assert (result.status, result.err.count("\n")) == (0, 1), result.err  # the progress line
    vectors = stored(tmp_path / "o.npz")
    assert list(vectors) == files
    matrix = np.stack(list(vectors.values()))
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-6)
    assert len(np.unique(matrix.round(4), axis=0)) == len(files)  # the items are told apart


def test_folder_goes_into_a_store_beside_what_cannot_be_used(call, media_dir, tmp_path):
    pytest.importorskip("lancedb")
    line = "embed {media} -o {tmp}/store --model={model} --workers=1 --window=5 --max-bad-rate=1"
    result = call(line)
    assert result.status == 0, result.err
    first, *more = result.out.splitlines()
    assert re.match(rf"{tmp_path}/store: 12 files, 4 embedded into 4 rows in .* rows/s\)", first)
    # a broken film is listed as video and as audio
    how = "grey pictures of more than 8 bits whose values are depth in millimetres"
    assert more.pop(0) == f"  as depth: 1 file: {how}"
    assert more == [f"  cannot be used: 10, see {tmp_path}/store.quarantine.jsonl"]
    again = call(line)
    assert "4 unchanged, 10 in quarantine" in again.out
    from lb_jax.search.store import Store

    store = Store.open(tmp_path / "store")
    assert store.maker.window_s == store.maker.stride_s == 5
    assert {modality for _, modality in store.files()} == {"image", "depth", "video", "audio"}


def test_two_hosts_fill_one_store(model_dir, tmp_path):
    pytest.importorskip("lancedb")
    media = fake.write(tmp_path / "media", 15)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-c", MAIN, "embed", str(media), "-o", str(tmp_path / "store")]
    command += [f"--model={model_dir}", "--modality=image", "--workers=1", "--multihost"]
    hosts = [
        subprocess.Popen(
            command,
            env=os.environ
            | dict(zip((ADDRESS, COUNT, INDEX), (address, "2", str(number)), strict=True)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    said = [host.communicate(timeout=300) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], said
    counts = sorted(int(re.search(r"(\d+) embedded", out)[1]) for out, _ in said)
    assert counts == [1, 2]
    from lb_jax.search.store import Store

    assert len(Store.open(tmp_path / "store").files()) == 3

import pickle

import pytest

from lb_jax.core import errors
from lb_jax.corpora.image_folder import ImageFolder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def fails(folder, match, error=errors.DataError, needed=(), **arguments):
    with pytest.raises(error, match=match):
        ImageFolder(folder, **arguments).require(needed)


def test_class_folders_name_their_files(tmp_path):
    names = [
        "polar_bear/b.PNG",
        "cat/z.jpg",
        "cat/in/a.webp",
        "cat/.x.jpg",
        "cat/notes.txt",
        "r.md",
    ]
    folder = ImageFolder(touch(tmp_path, *names, ".git/x/y.jpg"))
    folder.require(["caption"])
    rows = [folder[n] for n in range(len(folder))]
    assert [row.id for row in rows] == ["cat/in/a.webp", "cat/z.jpg", "polar_bear/b.PNG"]
    assert [row.texts["caption"] for row in rows] == ["cat", "cat", "polar bear"]
    assert rows[0].media == {"image": (tmp_path / "cat/in/a.webp",)}
    assert pickle.loads(pickle.dumps(folder))[2] == rows[2]


def test_other_modalities(tmp_path):
    folder = ImageFolder(touch(tmp_path, "dog/a.wav", "dog/b.jpg"), "audio")
    assert (len(folder), folder.modalities) == (1, ("audio",))
    fails(tmp_path, "no modality 'adio'.*'audio'", errors.ConfigError, modality="adio")


def test_links_are_followed_but_never_back(tmp_path):
    touch(tmp_path, "far/x.jpg", "data/cat/a.jpg")
    (tmp_path / "data/cat/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/dog").symlink_to(tmp_path / "far")
    (tmp_path / "data/cat/self").symlink_to(tmp_path / "data/cat")
    folder = ImageFolder(tmp_path / "data")
    assert [folder[n].id for n in range(len(folder))] == ["cat/a.jpg", "dog/x.jpg"]


def test_a_folder_without_files_says_what_is_there(tmp_path):
    fails(tmp_path, "holds no files and no class folders; expected <class>/<file>.* .jpg .jpeg")
    touch(tmp_path, "a.jpg", "b.JPG", "c")
    fails(tmp_path, r"holds 3 files \(\.jpg, no ending\) and no class folders")
    touch(tmp_path, "cat/a.mp4", "cat/in/b.txt")
    fails(tmp_path, "a.jpg: lies in no class folder")
    fails(tmp_path, r"cat: holds 2 files \(\.mp4, \.txt\); expected .*\.wav", modality="audio")
    fails(tmp_path / "none", "cannot be read")


def test_other_captions_are_not_there(tmp_path):
    touch(tmp_path, "cat/a.jpg")
    fails(tmp_path, "lacks mplug; class folders give caption alone", needed=["mplug"])
    fails(tmp_path, "no text kind 'capton'", errors.ConfigError, needed=["capton"])

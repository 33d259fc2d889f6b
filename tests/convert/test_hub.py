"""Names on the hub: read from its cache, one form of the weights, the licence told once."""

import functools
import logging
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants as hub_constants
from huggingface_hub import errors as hub_errors

import lb_jax
from lb_jax.convert import hub
from lb_jax.core import errors, shipped
from tests.convert import small

NAME, COMMIT = "someone/clip-small", "0123456789abcdef0123456789abcdef01234567"
CARD = "---\nlicense: mit\nlanguage: en\n---\n# A model\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache with one model in it: the folder of its files."""
    repository = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = small.clip_folder(repository / "snapshots" / COMMIT)
    (folder / "README.md").write_text(CARD)
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_downloaded", functools.cache(hub._downloaded.__wrapped__))
    return folder


@pytest.fixture
def online(monkeypatch):
    """Makes the hub answer: what listing a repository's files returns or raises."""

    def answer(files):
        def listed(self, name):
            if isinstance(files, Exception):
                raise files
            return files

        monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", listed)

    return answer


def test_name_loads_from_the_cache_and_tells_its_licence_once(cache, capfd):
    model = lb_jax.load(NAME)
    again = lb_jax.load({"depth": NAME, "thermal": NAME})
    assert capfd.readouterr() == ("", f"{NAME}: licence mit\n")
    assert again.modalities == ("depth", "thermal")
    assert model.digest == lb_jax.load(cache).digest


def test_snapshot_of_which_one_form_was_fetched_loads_offline(cache):
    # Beside a snapshot the hub keeps the list of all files of the repository, ours or not.
    tree = pytest.importorskip("huggingface_hub._tree_cache")
    entry = tree.TreeCacheEntry(size=1, blob_id="0", lfs_sha256=None, lfs_size=None, xet_hash=None)
    files = [*(path.name for path in cache.iterdir()), "pytorch_model.bin"]
    tree.write_tree_cache(str(cache.parents[1]), COMMIT, dict.fromkeys(files, entry))
    assert hub.local(NAME) == cache


def test_hub_that_cannot_be_reached_leaves_the_cache(cache, online):
    online(hub_errors.HTTPError("no route"))
    assert hub.local(NAME) == cache
    with pytest.raises(errors.ConfigError, match=r"a/b: no such folder here, not in the hub's ca"):
        hub.local("a/b")


def test_retries_are_told_once(cache, monkeypatch, capfd):
    client = logging.getLogger(hub.RETRYING)
    assert client.name in sys.modules  # the client's own logger

    def listed(self, name):
        for number in range(1, 4):
            client.warning("'no route' thrown while requesting GET https://hub")
            client.warning(f"Retrying in {number}s [Retry {number}/5].")
        raise hub_errors.HTTPError("no route")

    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", listed)
    assert hub.local(NAME) == cache
    assert capfd.readouterr().err.splitlines() == [
        f"{NAME}: the hub does not answer ('no route' thrown while requesting GET https://hub); "
        "trying again",
        f"{NAME}: licence mit",
    ]
    assert not client.filters


def test_download_takes_one_form(cache, online, monkeypatch):
    online(["config.json", "pytorch_model.bin", "model.safetensors", "README.md"])
    taken = []

    def snapshot(name, allow_patterns):
        taken.append((name, allow_patterns))
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert hub.local(NAME) == cache
    assert taken == [
        (
            NAME,
            ["*.json", "README.md", "merges.txt", "vocab.txt", "words.txt", "model.safetensors"],
        )
    ]


@pytest.mark.parametrize(
    ("given", "near"), [("captionr", "captioner"), ("dmo", "demo"), ("demo/", "demo")]
)
def test_a_name_that_is_nearly_one_of_the_package_is_told(given, near):
    with pytest.raises(errors.ConfigError, match=rf"{given}: no such .*Did you mean '{near}'\?"):
        hub.local(given)


def test_folder_comes_before_the_hub(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir(parents=True)
    assert hub.local(NAME).resolve() == tmp_path / NAME


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (
            ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "tf_model.h5"],
            ["model.safetensors.index.json", "model-*.safetensors"],
        ),
        (["pytorch_model.bin", "flax_model.msgpack"], ["pytorch_model.bin"]),
        (
            ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"],
            ["pytorch_model.bin.index.json", "pytorch_model-*.bin"],
        ),
        (
            ["open_clip_pytorch_model.bin", "open_clip_model.safetensors"],
            ["open_clip_model.safetensors"],
        ),
        (["open_clip_model.safetensors", "model.safetensors"], ["model.safetensors"]),
        (["adapter_config.json", "adapter_model.bin"], ["adapter_model.bin"]),
        (["README.md"], []),
    ],
)
def test_patterns_choose_one_form(files, form):
    beside = ["*.json", "README.md", "merges.txt", "vocab.txt", "words.txt"]
    assert hub.patterns(files) == [*beside, *form]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (CARD, "mit"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlanguage: en\n---\n", "not stated in its model card"),
        ("# A model\n", "not stated in its model card"),
        ("---\nlicense: [mit\n---\n", "not legible in its model card"),
        ("---\n- mit\n---\n", "not legible in its model card"),
        (None, "not stated (no model card)"),
    ],
)
def test_licence_is_that_of_the_card(tmp_path, card, licence):
    if card:
        (tmp_path / "README.md").write_text(card)
    assert hub.licence(tmp_path) == licence


def test_a_folder_of_something_else_does_not_hide_a_model_that_comes_with_the_package(
    tmp_path, monkeypatch
):
    """As `lb-jax corpus demo --out demo` makes one, whose filters then ask for that model."""
    monkeypatch.chdir(tmp_path)
    package = hub.local(shipped.DEMO)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "annotation.json").write_text("{}")
    assert hub.local(shipped.DEMO) == package
    assert hub.called(shipped.DEMO) == "demo"
    (tmp_path / "demo" / "config.json").write_text("{}")
    assert hub.local(shipped.DEMO) == Path("demo")
    assert hub.called(shipped.DEMO) == str(tmp_path / "demo")
    assert hub.local("./demo") != package

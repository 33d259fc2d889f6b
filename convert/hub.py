"""Names on the Hugging Face hub: downloaded once, then read from its cache like any folder."""

import contextlib
import functools
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import huggingface_hub
import yaml  # huggingface_hub brings it
from huggingface_hub import errors as hub_errors

from lb_jax.core import errors, shipped

# Weights of a repository in order of preference; a name with * stands for its shards.
WEIGHTS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*.bin"),
    ("open_clip_model.safetensors",),
    ("open_clip_pytorch_model.bin",),
    ("adapter_model.safetensors",),
    ("adapter_model.bin",),
    ("imagebind_huge.pth",),
    ("imagebind.pth",),
    ("translation_weights.pt",),
)
# What says so, and how, when a request is made again.
RETRYING = "huggingface_hub.utils._http"
RETRIES = ("thrown while requesting", "Retrying in", "Rate limited. Waiting")
_BESIDE = ("*.json", "README.md", "merges.txt", "vocab.txt", "words.txt")
# What a folder holds that is a model, a work directory, or weights of any kind.
_OF_A_MODEL = ("config.json", "checkpoint", "ckpt", "states")
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".pkl", ".npz")
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def local(source: str | Path) -> Path:
    """The local path of weights: a path as it is, a hub name downloaded or taken from the cache.

    The names of `shipped.MODELS`, such as "demo", are models that come with the package, unless a
    model lies here under that name; a folder of anything else, such as a corpus, is not meant.

    The hub's own switches hold: `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`.

    Raises:
      ConfigError: for a name that is neither here nor to be had.
    """
    if _is_shipped(source):
        return shipped.unpacked(str(source))
    path = Path(os.path.expanduser(source))  # leaves ~nobody as it is
    if os.path.exists(path):  # False for a name no file can have
        return path
    if not _NAME.fullmatch(str(source)):
        raise _unknown(source)
    return _downloaded(str(source))


def called(source: str | Path) -> str:
    """How messages and stores name weights: the absolute path of files, a name as it was given."""
    is_here = os.path.exists(source) and not _is_shipped(source)
    return str(Path(source).absolute()) if is_here else str(source)


def _is_shipped(source: str | Path) -> bool:
    """Whether a name means a model that comes with the package."""
    if str(source) not in shipped.MODELS:
        return False
    here = Path(source)
    if not here.is_dir():
        return not here.exists()
    return not any(one.name in _OF_A_MODEL or one.suffix in _ENDINGS for one in here.iterdir())


@functools.cache
def _downloaded(name: str) -> Path:
    """Fetches one form of a repository's weights; its licence is printed once."""
    try:
        with _retries_told_once(name):
            folder = _cached(name) if huggingface_hub.is_offline_mode() else _fetched(name)
    except hub_errors.RepositoryNotFoundError as error:
        raise errors.ConfigError(
            f"{name}: no such folder here and no such model on the hub (or it is private: set "
            "HF_TOKEN); check the name."
        ) from error
    except hub_errors.HFValidationError as error:
        raise _unknown(name) from error
    except (hub_errors.HTTPError, OSError) as error:
        raise errors.ConfigError(
            f"{name}: no such folder here, not in the hub's cache, and the hub cannot be reached "
            f"({type(error).__name__}); run `hf download {name}` where there is a network, or give "
            "a folder."
        ) from error
    print(f"{name}: licence {licence(Path(folder))}", file=sys.stderr)
    return Path(folder)


@contextlib.contextmanager
def _retries_told_once(name: str) -> Iterator[None]:
    """The hub's client says two lines for each of its attempts; this says one for all of them."""
    told = []

    def passes(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if not any(words in text for words in RETRIES):
            return True
        if not told:
            told.append(text)
            print(f"{name}: the hub does not answer ({text}); trying again", file=sys.stderr)
        return False

    client = logging.getLogger(RETRYING)
    client.addFilter(passes)
    try:
        yield
    finally:
        client.removeFilter(passes)


def _fetched(name: str) -> str:
    """Downloads what is new; without a connection, what an earlier call left."""
    try:
        wanted = patterns(huggingface_hub.HfApi().list_repo_files(name))
        return huggingface_hub.snapshot_download(name, allow_patterns=wanted)
    except hub_errors.RepositoryNotFoundError:
        raise
    except hub_errors.HTTPError as error:
        try:
            return _cached(name)
        except hub_errors.LocalEntryNotFoundError:
            raise error from None


def _cached(name: str) -> str:
    # without patterns the hub wants every file of the repository, of which we fetched one form
    return huggingface_hub.snapshot_download(name, local_files_only=True, allow_patterns=[])


def _unknown(source: object) -> errors.ConfigError:
    return errors.ConfigError(
        f"{source}: no such file or folder, and not a hub name such as "
        "LanguageBind/LanguageBind_Image; demo and captioner, which writes, come with the package."
        f"{errors.nearest(str(source), shipped.MODELS)}"
    )


def patterns(files: Iterable[str]) -> list[str]:
    """What to download of a repository: everything small, and one form of its weights."""
    files = set(files)
    form = next((form for form in WEIGHTS if form[0] in files), ())
    return [*_BESIDE, *form]


def licence(folder: Path) -> str:
    """The licence that the header of a model card names."""
    card = folder / "README.md"
    if not card.is_file():
        return "not stated (no model card)"
    try:
        stated = huggingface_hub.ModelCard.load(card).data.get("license")
    except (ValueError, yaml.YAMLError):  # a broken card does not make weights unusable
        return "not legible in its model card"
    if isinstance(stated, list):
        stated = ", ".join(map(str, stated))
    return str(stated or "not stated in its model card")

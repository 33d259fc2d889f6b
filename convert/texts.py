"""How texts become tokens, as foreign folders state it: followed, or refused by name."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from lb_jax.convert import fields
from lb_jax.core import errors

TOKENIZER_CONFIG, TOKENIZER, VOCABULARY = "tokenizer_config.json", "tokenizer.json", "vocab.json"
MERGES = "merges.txt"
SPECIAL_TOKENS = "special_tokens_map.json"
FILES = (TOKENIZER_CONFIG, SPECIAL_TOKENS, VOCABULARY)  # or, without the last, TOKENIZER
SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}

PLAIN, GENERIC = "CLIPTokenizer", "PreTrainedTokenizerFast"
CLEANING = "text_cleaning"  # a field of our own in TOKENIZER_CONFIG: what TOKENIZER does to a text

_CLASSES = (PLAIN, f"{PLAIN}Fast", None)
_GENERIC = (GENERIC, "TokenizersBackend")  # transformers 4 and 5 call it so
_CLEANINGS = ("lower", "canonicalize", "whitespace")  # the first is OpenCLIP's usual, and ours
# CLIP's pieces in the order of their tokens, one to a line, without the two special ones.
PIECES, DIGEST = 49406, ("ee7a4423aea96d705babd8004aa41e3696ffd366e5d8f3227d4fa057768d60e0")


def of_open_clip(text_cfg: Mapping[str, Any], where: object) -> dict[str, Any]:
    """What a `text_cfg` fixes of the texts' preprocessing spec.

    Raises:
      CheckpointError: naming every field that asks for what is not done here.
    """
    given = fields.section(text_cfg, "tokenizer_kwargs", f"{where}: text_cfg")
    other = [
        f"{name}={text_cfg[name]!r}"
        for name in ("hf_tokenizer_name", "tokenizer_mode")
        if text_cfg.get(name)
    ]
    context = text_cfg.get("context_length", 77)
    for name, value in given.items():
        known = (
            value in _CLEANINGS
            if name == "clean"
            else name == "context_length" and value == context
        )
        if not known and value:
            other.append(f"tokenizer_kwargs.{name}={value!r}")
    if other:
        raise errors.CheckpointError(
            f"{where}: text_cfg asks for {', '.join(other)}; texts are tokenised as CLIP's are, "
            f"with tokenizer_kwargs.clean one of {', '.join(_CLEANINGS)}. Embed texts where that "
            "tokenizer is, or take these fields out to load the model regardless."
        )
    clean = given.get("clean") or _CLEANINGS[0]
    return {} if clean == _CLEANINGS[0] else {"clean": clean}


def cleaning(spec: Mapping[str, Any]) -> str:
    """How texts are cleaned by the fields of their preprocessing spec."""
    return spec.get("clean") or _CLEANINGS[0]


def is_usual(spec: Mapping[str, Any]) -> bool:
    """Whether texts are cleaned as CLIP's own tokenizer does it."""
    return cleaning(spec) == _CLEANINGS[0]


def to_open_clip(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `text_cfg` that say how texts are cleaned."""
    return {"tokenizer_kwargs": {"clean": spec["clean"]}} if spec.get("clean") else {}


def of_hf(folder: Mapping[str, Mapping[str, Any]], context: int, where: object) -> dict[str, Any]:
    """What the tokenizer of a Hugging Face folder, which must be CLIP's, fixes of the texts' spec.

    Raises:
      CheckpointError: naming every field that is not.
    """
    # transformers takes what the second states where the first does not
    given = {**folder.get(SPECIAL_TOKENS, {}), **folder.get(TOKENIZER_CONFIG, {})}
    other = []
    kind = given.get("tokenizer_class")
    clean = given.get(CLEANING) if kind in _GENERIC else _CLEANINGS[0]
    if kind not in (*_CLASSES, *_GENERIC) or clean not in _CLEANINGS:
        other.append(f"tokenizer_class={given['tokenizer_class']!r}")
    longest = given.get("model_max_length")
    if isinstance(longest, int | float) and longest < context:
        other.append(f"model_max_length={longest!r} (the tower takes {context} tokens)")
    for name, expected in SPECIAL.items():
        found = given.get(name)
        found = found.get("content") if isinstance(found, Mapping) else found
        if found not in (None, expected):
            other.append(f"{name}={found!r} (here: {expected!r})")
    if other:
        raise _refusal(where, f"{TOKENIZER_CONFIG} or {SPECIAL_TOKENS}", other)
    for name in (VOCABULARY, TOKENIZER):
        if name in folder:
            _require_vocabulary(folder[name], name, where)
            break  # the other says the same
    return {} if clean == _CLEANINGS[0] else {"clean": clean}


def _require_vocabulary(content: Mapping[str, Any], name: str, where: object) -> None:
    """Compares a vocabulary with CLIP's, special and added tokens left out."""
    if name == TOKENIZER:
        model = fields.section(content, "model", f"{where}: {name}")
        content = fields.section(model, "vocab", f"{where}: {name}: model")
    tokens = {token: piece for piece, token in content.items() if type(token) is int}
    pieces = [tokens.get(token) for token in range(PIECES)]
    text = "\n".join("" if piece is None else piece for piece in pieces)
    if hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != DIGEST:
        shown = ", ".join(repr(tokens.get(token)) for token in (320, 1929))
        raise _refusal(
            where,
            name,
            [f"another vocabulary: {len(content):,} pieces, tokens 320 and 1929 are {shown}"],
        )


def _refusal(where: object, name: str, other: Iterable[str]) -> errors.CheckpointError:
    return errors.CheckpointError(
        f"{where}: {name} asks for {', '.join(other)}; texts are tokenised as CLIP's are. Embed "
        "texts where that tokenizer is, or take that file away to load the model regardless."
    )

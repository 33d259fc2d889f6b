"""Titles with words of a list, of whoever builds the corpus."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core import errors

FIGURES = (("found", pa.string()),)


@dataclasses.dataclass(frozen=True)
class WordList:
    """What is not to be in a title; whole words, capitals count as small letters.

    Attributes:
      words: words or groups of words.
      file: a text file of more, one a line; empty for none. Lines that begin with # are notes.
    """

    words: tuple[str, ...] = ()
    file: str = ""


def prepare(cfg: WordList) -> WordList:
    """The list with the lines of its file.

    Raises:
      ConfigError: the file cannot be read.
    """
    if not cfg.file:
        return cfg
    try:
        lines = Path(cfg.file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8"
        raise errors.ConfigError(
            f"config.word_list.file: {cfg.file} cannot be read ({why}); give a text file."
        ) from error
    more = (line.strip() for line in lines)
    words = (*cfg.words, *(line for line in more if line and not line.startswith("#")))
    return dataclasses.replace(cfg, words=words)


def look(batch: pa.RecordBatch, films: Sequence, cfg: WordList) -> list[stage.Verdict]:
    """Judges titles by whether they have a word of the list."""
    pattern = _pattern(cfg.words)
    return [_judge(title or "", pattern) for title in batch["title"].to_pylist()]


def _judge(title: str, pattern: re.Pattern | None) -> stage.Verdict:
    found = pattern.search(title.casefold()) if pattern else None
    if found:
        return stage.refuse(f"has {found[0]!r}, which is in the list", found=found[0])
    return stage.keep(found="")


@functools.cache
def _pattern(words: tuple[str, ...]) -> re.Pattern | None:
    told = sorted({" ".join(word.casefold().split()) for word in words if word.strip()})
    any_of = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in told)
    return re.compile(rf"(?<!\w)(?:{any_of})(?!\w)") if told else None

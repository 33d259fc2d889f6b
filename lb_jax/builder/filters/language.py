"""Titles in another language than those wanted, by lingua, whose models come with it."""

import dataclasses
import functools
import re
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core import errors
from lb_jax.core.fields import require

FIGURES = (("language", pa.string()), ("confidence", pa.float32()))
# What is no language: tags, names of accounts, addresses.
NO_WORDS = re.compile(r"[#@]\w+|https?://\S+|www\.\S+")


@dataclasses.dataclass(frozen=True)
class Language:
    """Thresholds.

    Attributes:
      wanted: ISO 639-1 codes of the languages that stay.
      among: codes of those that are told apart; () for all that lingua knows, which is slower and
        errs more on short titles.
      least: confidence, 0 to 1, that all wanted ones have together, at least.
    """

    wanted: tuple[str, ...] = ("en",)
    among: tuple[str, ...] = ("de", "en", "es", "fr", "id", "it", "nl", "pl", "pt", "sv", "tr")
    least: float = 0.3

    def __post_init__(self):
        lacking = sorted(set(self.wanted) - set(self.among)) if self.among else []
        require(bool(self.wanted), "config.language: wanted is empty; name a language, such as en.")
        require(
            not lacking,
            f"config.language: {', '.join(lacking)} is wanted and not in among; add it there.",
        )
        require(
            0 < self.least <= 1,
            f"config.language: least is {self.least}, expected above 0 and at most 1.",
        )


def prepare(cfg: Language) -> Language:
    """Checks that lingua knows the languages.

    Raises:
      ConfigError: it does not know one, with the nearest that it knows.
    """
    from lingua import IsoCode639_1

    known = [name.lower() for name in dir(IsoCode639_1) if len(name) == 2]
    for code in (*cfg.wanted, *cfg.among):
        if code not in known:
            raise errors.ConfigError(
                f"config.language: {code!r} is no language that lingua knows by an ISO 639-1 code."
                f"{errors.nearest(code, known)}"
            )
    return cfg


def look(batch: pa.RecordBatch, films: Sequence, cfg: Language) -> list[stage.Verdict]:
    """Judges titles by their language."""
    return [judged(title or "", cfg) for title in batch["title"].to_pylist()]


def judged(title: str, cfg: Language) -> stage.Verdict:
    """What is said of one text by its language."""
    words = " ".join(NO_WORDS.sub(" ", title).split())
    found = _detector(cfg.among).compute_language_confidence_values(words) if words else []
    if not found:
        return stage.refuse("has no words", language="", confidence=0.0)
    by_code = {one.language.iso_code_639_1.name.lower(): one.value for one in found}
    best = found[0].language.iso_code_639_1.name.lower()
    sure = sum(by_code.get(code, 0.0) for code in cfg.wanted)
    figures = {"language": best, "confidence": sure}
    if sure < cfg.least:
        told = f"is {best} by its words ({', '.join(cfg.wanted)}: {sure:.2f}, below {cfg.least})"
        return stage.refuse(told, **figures)
    return stage.keep(**figures)


@functools.cache
def _detector(among: tuple[str, ...]):
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if not among:
        return LanguageDetectorBuilder.from_all_languages().build()
    codes = [getattr(IsoCode639_1, code.upper()) for code in among]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

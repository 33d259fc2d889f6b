"""What of a sheet says which terms are taken."""

import dataclasses

from lb_jax.core.fields import require


@dataclasses.dataclass(frozen=True)
class Terms:
    """Which terms, and how many.

    Attributes:
      files: NAME=PATH of a source each, or NAME=PATH:COLUMN of a table; see `forms.FORMS`.
      most: terms of all sources together; VIDAL had about 100,000 (LanguageBind spec 8.2).
      longest_words: of a phrase that is taken of a caption. A text that is no longer is a term
        itself.
      share: of the words of captions, how many phrases are kept as keywords at most.
      least_count: texts in which a term must be.
      similarity: of two spellings of a word that are taken for one, from 0 to 1; 1 for equal ones.
      limit: of balancing (arXiv 2309.16671, its t): a term that is in more texts weighs the less.
      language: of the captions, two letters: stop words, stems.
    """

    files: tuple[str, ...] = ()
    most: int = 100_000
    longest_words: int = 3
    share: float = 0.3
    least_count: int = 1
    similarity: float = 0.9
    limit: int = 1000
    language: str = "en"

    def __post_init__(self):
        require(
            self.most > 0 and self.longest_words > 0 and self.least_count > 0 and self.limit > 0,
            f"config.terms: most is {self.most}, longest_words {self.longest_words}, least_count "
            f"{self.least_count} and limit {self.limit}; expected 1 or more of each.",
        )
        require(
            0 < self.similarity <= 1 and 0 < self.share <= 1,
            f"config.terms: similarity is {self.similarity} and share {self.share}; expected both "
            "above 0 and at most 1.",
        )

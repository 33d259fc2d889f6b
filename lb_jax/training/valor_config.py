"""What a VALOR run is told beside the settings of every run: `TrainConfig.valor`.

Plain values alone, so that a lab sheet is read before jax is loaded.
"""

import dataclasses

LETTERS = {"v": "video", "a": "audio"}  # of a group, besides t for the text
GROUPS = ("tva", "tv", "ta")
COMPARED = (*GROUPS, "va", "vta", "atv")
WRITTEN = ("caption", "answer", "mlm")  # tasks that write
REWARDED = "rewarded"
TILE = 32  # rows and columns at a time: on a CPU their products stay in the cache
ROLES = ("video", "audio")


@dataclasses.dataclass(frozen=True)
class GroupingConfig:
    """What is learnt from which groups of modalities.

    Attributes:
      align, caption, answer, mlm: groups of each task, rows of `fine_grained.GROUPS`; none leaves
        the task out.
      alpha: weight of the alignment beside what is written: 1.5 in pretraining.
      way: "masked", "next" or "doubled", a row of `grouping.WAYS`; or "rewarded", captions alone,
        see `rewarded`.
      smoothing: share of a target's probability that all other words get.
      mask: what padding counts as in the alignment, a row of `fine_grained.MASKED`; "zero" is
        VALOR's.
      fusion: a row of `fine_grained.FUSIONS`.
      tile: texts and items that are compared at a time.
    """

    align: tuple[str, ...] = ()
    caption: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    mlm: tuple[str, ...] = ()
    alpha: float = 1.0
    way: str = "masked"
    smoothing: float = 0.0
    mask: str = "exclude"
    fusion: str = "early"
    tile: int = TILE

    @property
    def written(self) -> dict[str, tuple[str, ...]]:
        """Task -> its groups, of those tasks that there are."""
        return {name: groups for name in WRITTEN if (groups := getattr(self, name))}

    @property
    def roles(self) -> set[str]:
        """The modalities of all groups, texts left out."""
        groups = (*self.align, *(one for groups in self.written.values() for one in groups))
        return {LETTERS[letter] for group in groups for letter in group if letter in LETTERS}


@dataclasses.dataclass(frozen=True)
class ValorRun:
    """What VALOR learns, and what it starts from (VALOR spec 4 to 6).

    Attributes:
      grouping: tasks and their groups.
      epochs: of the items of all corpora, from which steps are counted where `steps` is 0.
      warmup: share of all steps in which the learning rate rises, where `optim.warmup_steps` is 0.
      answer_length: tokens an answer is padded or cut to; captions and questions have
        `text_length`.
      answers: most answers of a question that are learnt at once, each by its weight; 1 draws one.
      vocabulary: file of WordPiece's vocabulary, or its folder; empty takes that beside `init_from`
        or the text encoder of `bases`. "letters" spells every word: for a trial without a download.
      bases: role, "text" among them -> encoder to start from where there is no `init_from`, see
        `convert.valor_bases`; a role that is not there is drawn.
      trained: role -> frames or clips that `init_from` saw in its training, where it does not say
        so: all further ones start as the last of these. 0 takes what it says.
      inference: role -> frames or clips that the result is used with; those of training otherwise.
    """

    grouping: GroupingConfig = GroupingConfig()
    epochs: int = 0
    warmup: float = 0.1
    answer_length: int = 7
    answers: int = 1
    vocabulary: str = ""
    bases: dict[str, str] = dataclasses.field(default_factory=dict)
    trained: dict[str, int] = dataclasses.field(default_factory=dict)
    inference: dict[str, int] = dataclasses.field(default_factory=dict)

"""The sheet of a corpus: which stages in which order, and every threshold of each.

Read like a lab sheet of training: `--config=corpus_vidal --config.duration.longest_s=30`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_collections

from lb_jax.builder import stages as stages_lib
from lb_jax.builder.collecting.settings import Collect

# Names, since a field of the sheet is called as the module of its settings.
from lb_jax.builder.filters.agreement import Agreement
from lb_jax.builder.filters.aspect import Aspect
from lb_jax.builder.filters.black import Black
from lb_jax.builder.filters.clipping import Clipping
from lb_jax.builder.filters.copies import Copies
from lb_jax.builder.filters.cuts import Cuts
from lb_jax.builder.filters.duration import Duration
from lb_jax.builder.filters.frame_rate import FrameRate
from lb_jax.builder.filters.language import Language
from lb_jax.builder.filters.nudity import Nudity
from lb_jax.builder.filters.overlay import Overlay
from lb_jax.builder.filters.resolution import Resolution
from lb_jax.builder.filters.silence import Silence
from lb_jax.builder.filters.sound_copies import SoundCopies
from lb_jax.builder.filters.speech import Speech
from lb_jax.builder.filters.still import Still
from lb_jax.builder.filters.title_length import TitleLength
from lb_jax.builder.filters.titles import Titles
from lb_jax.builder.filters.word_list import WordList
from lb_jax.builder.terms.settings import Terms
from lb_jax.builder.texts.mplug import Mplug
from lb_jax.builder.texts.ofa import Ofa
from lb_jax.builder.texts.polish_mplug import PolishMplug
from lb_jax.builder.texts.sound_mplug import SoundMplug
from lb_jax.core import config as config_lib
from lb_jax.core import errors
from lb_jax.core.fields import require


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the items come from.

    Attributes:
      path: JSON object, key -> {title, file, licence, source}; or a table (CSV, JSONL, Parquet)
        with columns of these names, and `id` for the key.
      root: folder that files are relative to; empty for that of `path`.
      licences: that may be used; () for any.
      require_licence: whether an item without one is refused before the run starts.
    """

    path: str = ""
    root: str = ""
    licences: tuple[str, ...] = ()
    require_licence: bool = False


@dataclasses.dataclass(frozen=True)
class Engine:
    """How the stages are run; nothing of it changes what they say.

    Attributes:
      workers: processes that look at films; 0 for one a core.
      commit_rows: items of a commit.
      film_timeout_s: a film that takes longer is left out as bad.
    """

    workers: int = 0
    commit_rows: int = 64
    film_timeout_s: float = 120.0

    def __post_init__(self):
        require(
            self.workers >= 0 and self.commit_rows > 0 and self.film_timeout_s > 0,
            f"config.engine: workers is {self.workers}, commit_rows {self.commit_rows} and "
            f"film_timeout_s {self.film_timeout_s}; expected 0 or more, 1 or more, and above 0.",
        )


@dataclasses.dataclass(frozen=True)
class Out:
    """What is written of the items that are kept.

    Attributes:
      folder: `folder` of every item in the annotation (LanguageBind spec 8.6).
      short_px: short side of stills; of films that are larger, too.
      shown: items of each kind on the page of a stage.
    """

    folder: str = "corpus"
    short_px: int = 256
    shown: int = 12


@dataclasses.dataclass(frozen=True)
class CorpusConfig:
    """A corpus: source, stages in their order, thresholds of each, engine, what is written.

    The settings of a stage that `stages` does not name do nothing. `terms` and `collect` are of the
    commands of these names, which make a source.
    """

    stages: tuple[str, ...]
    source: Source = dataclasses.field(default_factory=Source)
    engine: Engine = dataclasses.field(default_factory=Engine)
    out: Out = dataclasses.field(default_factory=Out)
    terms: Terms = dataclasses.field(default_factory=Terms)
    collect: Collect = dataclasses.field(default_factory=Collect)
    title_length: TitleLength = dataclasses.field(default_factory=TitleLength)
    language: Language = dataclasses.field(default_factory=Language)
    word_list: WordList = dataclasses.field(default_factory=WordList)
    titles: Titles = dataclasses.field(default_factory=Titles)
    duration: Duration = dataclasses.field(default_factory=Duration)
    resolution: Resolution = dataclasses.field(default_factory=Resolution)
    aspect: Aspect = dataclasses.field(default_factory=Aspect)
    frame_rate: FrameRate = dataclasses.field(default_factory=FrameRate)
    silence: Silence = dataclasses.field(default_factory=Silence)
    clipping: Clipping = dataclasses.field(default_factory=Clipping)
    black: Black = dataclasses.field(default_factory=Black)
    still: Still = dataclasses.field(default_factory=Still)
    cuts: Cuts = dataclasses.field(default_factory=Cuts)
    speech: Speech = dataclasses.field(default_factory=Speech)
    overlay: Overlay = dataclasses.field(default_factory=Overlay)
    nudity: Nudity = dataclasses.field(default_factory=Nudity)
    copies: Copies = dataclasses.field(default_factory=Copies)
    sound_copies: SoundCopies = dataclasses.field(default_factory=SoundCopies)
    agreement: Agreement = dataclasses.field(default_factory=Agreement)
    ofa: Ofa = dataclasses.field(default_factory=Ofa)
    mplug: Mplug = dataclasses.field(default_factory=Mplug)
    sound_mplug: SoundMplug = dataclasses.field(default_factory=SoundMplug)
    polish_mplug: PolishMplug = dataclasses.field(default_factory=PolishMplug)

    def __post_init__(self):
        stages_lib.require_names(self.stages)


def as_config_dict(cfg: CorpusConfig) -> ml_collections.ConfigDict:
    """The sheet as a locked ConfigDict with every field present, each open to an override."""
    return ml_collections.ConfigDict(_with_tuples(config_lib.to_dict(cfg)))


def from_config_dict(config: Mapping[str, Any]) -> CorpusConfig:
    """Inverse of `as_config_dict`.

    Raises:
      ConfigError: an unknown stage or key, with the nearest, or thresholds that contradict.
    """
    values = config.to_dict() if isinstance(config, ml_collections.ConfigDict) else config
    return config_lib.from_dict(CorpusConfig, values, "config.")


def plan(cfg: CorpusConfig) -> list[stages_lib.Planned]:
    """The stages of a sheet, ready to run.

    Raises:
      ConfigError: a package is missing, or what a stage needs is not there, also of another stage.
    """
    found = [(stages_lib.STAGES[name], getattr(cfg, name)) for name in cfg.stages]
    for one, _ in found:  # what is missing is told before anything that takes time
        one.require()
    planned = [
        stages_lib.Planned(one, given, given if one.prepare is None else one.prepare(given))
        for one, given in found
    ]
    stages_lib.require_takes(planned)
    return planned


def require_source(cfg: CorpusConfig) -> None:
    """Checks that the sheet says where items come from."""
    if not cfg.source.path:
        raise errors.ConfigError(
            "config.source.path is missing; give a JSON object or a table of titles and files."
        )


def _with_tuples(value: Any) -> Any:
    """Lists as tuples, which alone the command line can replace."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value

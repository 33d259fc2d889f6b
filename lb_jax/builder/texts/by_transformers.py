"""Captions of pictures by a model that transformers has, behind the same door as ours.

transformers and torch are no part of this package; they are asked for here alone.
"""

import dataclasses
import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from huggingface_hub import errors as hub_errors

from lb_jax.builder import films, stage
from lb_jax.builder.texts.captioning import Captioning, View
from lb_jax.core import errors

PREFIX = "transformers:"  # of a name that is meant for it
NEEDED = ("torch", "transformers")
WRONG = (OSError, ValueError, KeyError, hub_errors.StrictDataclassError)
PICTURES = "pictures"
SHORT_PX = 480  # of what is handed over, at most; OFA takes 480 x 480 (LanguageBind spec 8.5)


@dataclasses.dataclass(frozen=True)
class OfTransformers:
    """A `captioning.Writer`.

    Attributes:
      settings: of the stage.
      view: what it writes about: pictures.
    """

    settings: Captioning
    view: View

    @property
    def wants(self) -> stage.Wants:
        """So many pictures."""
        return stage.Wants(pictures=frozenset({self.view.pictures}))

    def ready(self, film: stage.Film) -> dict[str, np.ndarray]:
        """The pictures, uint8 [n, h, w, 3]; the model's own processor does the rest."""
        pictures = film.pictures(self.view.pictures)
        return {PICTURES: np.stack([films.shrunk(one, SHORT_PX) for one in pictures])}

    def write(self, looked: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """The texts of each film, one for each picture."""
        cfg = self.settings
        torch = _package("torch")
        processor, model = _opened(_name(cfg))
        pictures = [picture for one in looked for picture in one[PICTURES]]
        said: list[str] = []
        for first in range(0, len(pictures), cfg.batch_size):
            batch = pictures[first : first + cfg.batch_size]
            given = processor(images=batch, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                ids = model.generate(
                    **given,
                    num_beams=cfg.beam,
                    max_new_tokens=cfg.longest,
                    no_repeat_ngram_size=cfg.no_repeat_ngram,
                    do_sample=False,
                )
            said += processor.batch_decode(ids, skip_special_tokens=True)
        each = self.view.pictures
        return [said[first : first + each] for first in range(0, len(said), each)]


def prepare(view: View, cfg: Captioning) -> OfTransformers:
    """Looks whether the packages are there and the name is of a model that captions pictures.

    Raises:
      ConfigError: one is not, it is not, or the view is no picture.
    """
    where, name = f"config.{view.name}", _name(cfg)
    if not view.pictures:
        what = "a film's sound" if view.group == "ta" else "a film as a whole"
        raise errors.ConfigError(
            f"{where}: {cfg.model} would write of single pictures, and {view.name} is of {what}; "
            "give a VALOR model."
        )
    try:
        _, transformers = map(_package, NEEDED)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{where}: {error}") from error
    found = _read(where, name, transformers.AutoConfig)
    known = transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    if type(found) not in known:
        raise errors.ConfigError(
            f"{where}: {name} is a {found.model_type}, which transformers does not take for one "
            "that writes of pictures; give one such as BLIP, or a VALOR model."
        )
    processor = _read(where, name, transformers.AutoProcessor)
    both = processor, getattr(processor, "tokenizer", None)
    if any(getattr(one, "chat_template", None) for one in both):
        raise errors.ConfigError(
            f"{where}: {name} is a model of conversations, which writes of a picture as it is "
            "asked; give one that captions, such as BLIP, or a VALOR model."
        )
    return OfTransformers(cfg, view)


def _name(cfg: Captioning) -> str:
    return cfg.model.removeprefix(PREFIX)


def _read(where: str, name: str, kind: Any) -> Any:
    """What transformers has of a model, without its weights."""
    try:
        return kind.from_pretrained(name)
    except WRONG as error:
        told = " ".join(str(error).split())[:200]
        raise errors.ConfigError(
            f"{where}: transformers opens no model {name!r} ({told}); give a folder or a name on "
            "the hub."
        ) from error


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise errors.ConfigError(
            f"a model of {PREFIX.removesuffix(':')} needs the package {name}, which is not here "
            f"({error}); install {' and '.join(NEEDED)}, or give a VALOR model."
        ) from error


@functools.cache
def _opened(name: str) -> tuple[Any, Any]:
    """The processor and the model, where the accelerator is."""
    torch, transformers = map(_package, NEEDED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = transformers.AutoModelForImageTextToText.from_pretrained(name)
    return transformers.AutoProcessor.from_pretrained(name), model.eval().to(device)

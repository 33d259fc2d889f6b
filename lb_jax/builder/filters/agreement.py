"""Films whose title is of something else, by the calibrated probability of our own towers.

A probability is worth what its calibration is: fit one to a corpus like the one that is built,
`lb-jax calibrate --model M --data CORPUS`.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core import errors, shipped
from lb_jax.core.fields import require
from lb_jax.core.modalities import TEXT
from lb_jax.corpora import captions
from lb_jax.media import preprocess, specs

FIGURES = (("probability", pa.float32()), ("by", pa.string()))
LOOKS_AT = ("video", "audio")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Thresholds.

    Attributes:
      model: folder or name; it needs a calibration of each modality with text.
      modalities: that are compared with the title; each has to agree.
      least: probability, 0 to 1, that a film and its title belong together.
      prior: share of the films, by guess, whose title is right.
      batch_size: films that are embedded at once.
    """

    model: str = shipped.DEMO
    modalities: tuple[str, ...] = ("video",)
    least: float = 0.1
    prior: float = 0.5
    batch_size: int = 64

    def __post_init__(self):
        for name in self.modalities:
            if name not in LOOKS_AT:
                raise errors.ConfigError(
                    f"config.agreement: modalities has {name!r}; a film has "
                    f"{', '.join(LOOKS_AT)}.{errors.nearest(name, LOOKS_AT)}"
                )
        require(bool(self.modalities), "config.agreement: modalities is empty; give video.")
        require(
            0 < self.least < 1 and 0 < self.prior < 1 and self.batch_size > 0,
            f"config.agreement: least is {self.least}, prior {self.prior} and batch_size "
            f"{self.batch_size}; expected above 0 and below 1, and 1 or more.",
        )


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Thresholds, and how the model takes films.

    Attributes:
      settings: the thresholds.
      specs: preprocessing by modality.
    """

    settings: Agreement
    specs: Mapping[str, specs.Spec]


def prepare(cfg: Agreement) -> Prepared:
    """Opens the model.

    Raises:
      ConfigError: it has not what is asked for.
    """
    model = _model(cfg.model, cfg.batch_size)
    for name in cfg.modalities:
        if name not in model.modalities:
            raise errors.ConfigError(
                f"config.agreement: {cfg.model} has no {name}; it has "
                f"{', '.join(model.modalities)}."
            )
        model.threshold(name)  # tells of a calibration that is not there
        spec = model.specs[name]
        if isinstance(spec, specs.VideoSpec) and (spec.choice != "spread" or spec.clip_s):
            raise errors.ConfigError(
                f"config.agreement: {cfg.model} chooses frames by {spec.choice!r}; this stage "
                "takes models of evenly spread frames."
            )
    return Prepared(cfg, {name: model.specs[name] for name in cfg.modalities})


def wants(cfg: Prepared) -> stage.Wants:
    """The frames of the model's video tower."""
    found = {one.frames for one in cfg.specs.values() if isinstance(one, specs.VideoSpec)}
    return stage.Wants(frozenset(found))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Prepared) -> list[stage.Verdict]:
    """The arrays that the model takes of each film; a modality that it lacks is left out."""
    return [
        stage.keep(
            **{
                name: array
                for name, spec in cfg.specs.items()
                if (array := _array(film, name, spec)) is not None
            }
        )
        for film in films
    ]


def _array(film: stage.Film, name: str, spec: Any) -> np.ndarray | None:
    media = film.pictures(spec.frames) if name == "video" else film.sound()
    if media is None:
        return None
    return preprocess.transform(name, preprocess.decode(name, media, spec), spec)


def judge(
    batch: pa.RecordBatch, looked: Sequence[Mapping[str, np.ndarray]], cfg: Prepared
) -> list[stage.Verdict]:
    """Judges films by whether their titles go with them."""
    model = _model(cfg.settings.model, cfg.settings.batch_size)
    titles = [captions.clean_title(title or "") for title in batch["title"].to_pylist()]
    said = [place for place, title in enumerate(titles) if title]
    vectors = model.embed(TEXT, [titles[one] for one in said]) if said else ()
    texts = dict(zip(said, vectors, strict=True))
    found: list[dict[str, float]] = [{} for _ in titles]
    for name in cfg.specs:
        places = [place for place in said if name in looked[place]]
        if not places:
            continue
        vectors = model.encode(name, np.stack([looked[place][name] for place in places]))
        for place, vector in zip(places, vectors, strict=True):
            pair = vector[None], texts[place][None]
            chance = model.match_probability(name, *pair, prior=cfg.settings.prior)
            found[place][name] = float(chance[0, 0])
    return [_judge(one, cfg.settings) for one in found]


def _judge(found: Mapping[str, float], cfg: Agreement) -> stage.Verdict:
    if not found:
        return stage.refuse("has no words that the model reads", probability=0.0, by="")
    by = min(found, key=lambda name: (found[name], name))
    figures = {"probability": found[by], "by": by}
    if found[by] < cfg.least:
        told = f"probability {found[by]:.3f}, below {cfg.least}"
        return stage.refuse(f"does not go with its title by {by} ({told})", **figures)
    return stage.keep(**figures)


@functools.cache
def _model(name: str, batch_size: int):
    from lb_jax.inference import opening

    return opening.load_encoder(name, batch_size=batch_size)

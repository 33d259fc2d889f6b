"""The functions of every stage that captions: `look` makes arrays, `judge` writes, none refuses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.builder.texts import by_transformers, by_valor, captioning
from lb_jax.builder.texts.captioning import LACKS, Captioning, View, Writer

Prepare = Callable[[View, Captioning], Writer]
# How the name of a model begins -> what opens it; any other is a VALOR model.
KINDS: Mapping[str, Prepare] = {by_transformers.PREFIX: by_transformers.prepare}


def prepare(view: View, cfg: Captioning) -> Writer:
    """Looks whether the model is there and can write of what is asked.

    Raises:
      ConfigError: it is not, or cannot.
    """
    for prefix, opens in KINDS.items():
        if cfg.model.startswith(prefix):
            return opens(view, cfg)
    return by_valor.prepare(view, cfg)


def wants(cfg: Writer) -> stage.Wants:
    """What the model looks at of a film."""
    return cfg.wants


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Writer) -> list[stage.Verdict]:
    """The arrays that the model takes of each film, or why there are none."""
    return [_looked(film, cfg) for film in films]


def _looked(film: stage.Film, cfg: Writer) -> stage.Verdict:
    try:
        return stage.keep(**cfg.ready(film))
    except captioning.Nothing as why:
        return stage.keep(**{LACKS: str(why)})


def judge(
    batch: pa.RecordBatch, looked: Sequence[Mapping[str, Any]], cfg: Writer
) -> list[stage.Verdict]:
    """Writes of films; all of them stay."""
    there = [place for place, one in enumerate(looked) if LACKS not in one]
    texts = cfg.write([looked[place] for place in there]) if there else []
    written = dict(zip(there, texts, strict=True))
    return [
        _said(written.get(place), looked[place].get(LACKS, ""), cfg) for place in range(len(looked))
    ]


def _said(texts: Sequence[str] | None, lacks: str, cfg: Writer) -> stage.Verdict:
    if texts is not None:
        texts = [" ".join(one.split()) for one in texts]
        empty = [place for place, one in enumerate(texts) if not one]
        if empty:
            of = f" of picture {empty[0]}" if cfg.view.pictures else ""
            texts, lacks = None, f"the model wrote nothing{of}"
    about = {"model": cfg.settings.model, LACKS: lacks}
    if cfg.view.pictures:
        return stage.keep(texts=None if texts is None else list(texts), **about)
    return stage.keep(text=None if texts is None else texts[0], **about)

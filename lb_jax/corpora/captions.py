"""Which captions an item may have, and how training draws one (LanguageBind spec 5.6, 8.6)."""

import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora.rows import Row, Source

FRAMES_PER_ITEM = 8

# Questions about an item and their answers: texts, but nothing that it is aligned with.
ASKED_KINDS = ("question", "answer")
# Caption kinds as stored; `ofa` holds one caption per frame, `caption` is that of a plain manifest.
TEXT_KINDS = ("caption", "raw", "mplug", "polish_mplug", "sound_mplug", "ofa", *ASKED_KINDS)
FRAME_KINDS = {f"ofa_{k}": k for k in range(FRAMES_PER_ITEM)}
MIX_WEIGHTS = {"raw": 0.2, "mplug": 0.2, "polish_mplug": 0.2, "sound_mplug": 0.2} | dict.fromkeys(
    FRAME_KINDS, 0.025
)
# What a config may ask for -> the stored kinds that it reads.
DRAW_KINDS = (
    {kind: (kind,) for kind in TEXT_KINDS}
    | dict.fromkeys(FRAME_KINDS, ("ofa",))
    | {"mix": ("raw", "mplug", "polish_mplug", "sound_mplug", "ofa")}
)

# Advertising in video titles, removed in this order of preference at each place (spec 5.6).
_TITLE_TAGS = re.compile(
    "#video|video|#shorts|shorts| shorts|#short| "
    "short|#youtubeshorts|youtubeshorts|#youtube| youtube|#ytshorts|"
    "ytshorts|#ytshort|shortvideo|#tiktok|tiktok|#myfirstshorts|#myfirstshort|#viral|viralvideo|viral|#virlshort|#ytviralshorts"
)
_TITLE_LEFTOVERS = re.compile(" s |short|youtube|virlshort|#")
_TITLE_KEEPS = re.compile(r"[^a-zA-Z0-9\s.,;:?!'\"|]")
_HASHTAGS_KEEP = re.compile(r"[^a-zA-Z0-9\s]")


def draw_text(
    row: Row, kind: str, rng: np.random.Generator, frames: int = FRAMES_PER_ITEM
) -> tuple[str, int]:
    """Draws a caption and the frame that goes with it, by three draws from `rng` whatever the kind.

    "mix" draws the kind by `MIX_WEIGHTS` among those the row has. A caption of one frame (`ofa`)
    ties the frame, so depth and thermal show what it describes; any other kind takes a uniform
    frame. Raw titles are cleaned, see `clean_title`.

    Args:
      row: the item.
      kind: a key of `DRAW_KINDS`.
      rng: random generator.
      frames: number of frames to choose from; a single one shows whatever is described.

    Returns:
      The caption and a frame number in 0..`frames` - 1.

    Raises:
      errors.DataError: the row lacks the kind, or the frame that it describes.
      errors.ConfigError: unknown kind.
    """
    require_kinds([kind])
    mix_draw, choice_draw, frame_draw = rng.random(3)
    frame = int(frame_draw * frames)
    if kind == "mix":
        kind = _weighted(
            {one: w for one, w in MIX_WEIGHTS.items() if _has(row, one)}, mix_draw, row
        )
    if kind == "ofa":
        kind = f"ofa_{int(frame_draw * FRAMES_PER_ITEM)}"
    if not _has(row, kind):
        has = ", ".join(row.texts) or "no captions"
        raise errors.DataError(
            row.id, f"lacks {kind}; it has {has}. Train on another kind or drop the row"
        )
    if kind in FRAME_KINDS:
        tied = FRAME_KINDS[kind]
        if frames > 1 and tied >= frames:
            raise errors.DataError(
                row.id, f"has {frames} frames, none for its caption {kind}; add it"
            )
        text = row.texts[kind] if kind in row.texts else row.texts["ofa"][tied]
        frame = tied if frames > 1 else 0
    else:
        text = row.texts[kind]
    if isinstance(text, tuple):
        text = text[int(choice_draw * len(text))]
    return (clean_title(text) if kind == "raw" else text.strip()), frame


def all_texts(row: Row, kind: str) -> list[str]:
    """Every caption that `draw_text` could return for this row and kind."""
    require_kinds([kind])
    wanted = MIX_WEIGHTS if kind == "mix" else FRAME_KINDS if kind == "ofa" else (kind,)
    found = []
    for one in wanted:
        if one in row.texts:
            given = row.texts[one]
            given = given if isinstance(given, tuple) else (given,)
        elif _has(row, one):
            given = (row.texts["ofa"][FRAME_KINDS[one]],)
        else:
            continue
        found += [clean_title(text) if one == "raw" else text.strip() for text in given]
    return found


def numbered(
    source: Source, kind: str, *, first_only: bool = False
) -> tuple[list[str], np.ndarray]:
    """All captions of a corpus, and the row of each: several of a row are all right for it.

    Args:
      source: the corpus.
      kind: a key of `DRAW_KINDS`.
      first_only: whether the first of each row is all that counts.

    Returns:
      The captions in the order of the rows, and the numbers of their rows, int64, not falling.

    Raises:
      errors.DataError: a row lacks the kind, or cannot be read.
      errors.ConfigError: unknown kind.
    """
    texts: list[str] = []
    rows: list[int] = []
    for number in range(len(source)):
        row = source[number]
        if not (found := all_texts(row, kind)):
            raise errors.DataError(
                f"{source.where}: {row.id}", f"lacks {kind}; fill it in or drop the row"
            )
        kept = found[:1] if first_only else found
        texts += kept
        rows += [number] * len(kept)
    return texts, np.array(rows, np.int64)


def clean_title(title: str) -> str:
    """Removes advertising from a raw video title; the result is "title, hashtags".

    Unlike the original no comma is left behind where one of the two parts is empty. An empty result
    is returned as such; the tokeniser refuses it.
    """
    head, _, tags = title.partition("#")
    parts = (
        _TITLE_KEEPS.sub("", _strip_tags(head)),
        _HASHTAGS_KEEP.sub("", _strip_tags(f"#{tags}")),
    )
    return ", ".join(p for p in (" ".join(part.split()) for part in parts) if p)


def _strip_tags(text: str) -> str:
    return _TITLE_LEFTOVERS.sub(" ", _TITLE_TAGS.sub(" ", text.lower() + " "))


def require_kinds(kinds: Iterable[str]) -> list[str]:
    """The stored kinds that these kinds read, in the order of `TEXT_KINDS`.

    Raises:
      ConfigError: for an unknown kind, with the nearest one.
    """
    for kind in kinds:
        if kind not in DRAW_KINDS:
            raise errors.ConfigError(
                f"no text kind {kind!r}; expected one of {', '.join(DRAW_KINDS)}."
                f"{errors.nearest(kind, DRAW_KINDS)}"
            )
    stored = {one for kind in kinds for one in DRAW_KINDS[kind]}
    return sorted(stored, key=TEXT_KINDS.index)


def usual_kind(kinds: Iterable[str], modality: str) -> str:
    """The caption kind a modality is trained and scored with, or the only one that there is.

    Args:
      kinds: what the corpora have, see `rows.Source.text_kinds`.
      modality: whose captions.
    """
    held = set(kinds)
    held = held.difference(FRAME_KINDS, ASKED_KINDS) or held  # the former come with `ofa`
    return held.pop() if len(held) == 1 else MODALITIES[modality].text_kind


def lacking(texts: Collection[str], kinds: Iterable[str]) -> list[str]:
    """Which of these kinds a row with these stored captions cannot give; "mix" needs any one.

    Args:
      texts: kinds that are stored, among them `FRAME_KINDS`.
      kinds: keys of `DRAW_KINDS`.
    """
    given = {*texts, *(FRAME_KINDS if "ofa" in texts else ())}
    given |= {"ofa"} if given.issuperset(FRAME_KINDS) else set()
    given |= {"mix"} if given & MIX_WEIGHTS.keys() else set()
    return [kind for kind in kinds if kind not in given]


def _has(row: Row, kind: str) -> bool:
    return kind in row.texts or (kind in FRAME_KINDS and "ofa" in row.texts)


def _weighted(weights: Mapping[str, float], draw: float, row: Row) -> str:
    """Returns the key whose share of [0, 1) holds `draw`."""
    if not weights:
        has = ", ".join(row.texts) or "no captions"
        raise errors.DataError(row.id, f"has none of the kinds of mix; it has {has}. Train on that")
    ends = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(ends / ends[-1], draw, side="right"))]

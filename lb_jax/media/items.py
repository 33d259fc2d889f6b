"""Items of several modalities at once: what of them is there, and the arrays of all.

A film is its own sound: its sound track is the audio of the item. A film without one has no audio
and says so; so does what decodes but shows or sounds nothing, where that is asked. What cannot be
decoded is an error as everywhere. Of what is absent the array is 0, as VALOR's of a missing file
(spec 2.2), and `present` says that it is no such thing.
"""

import dataclasses
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.media import clips, content, given, image, specs, stretches, tracks
from lb_jax.media import preprocess as preprocess_lib

# A file or array, or what of a file is taken.
Source = given.Media | clips.Clip | stretches.Stretch


@dataclasses.dataclass(frozen=True)
class Item:
    """An item as a model of several modalities takes it.

    Attributes:
      arrays: modality -> float32 array, as `preprocess.transform` gives it; 0 where it is absent.
      present: modality -> whether the item has it.
    """

    arrays: Mapping[str, np.ndarray]
    present: Mapping[str, bool]


def of_file(media: given.Media) -> dict[str, given.Media]:
    """What of one file is which modality: of a film both pictures and sound.

    Args:
      media: a path or bytes of a film, a sound or a picture; a folder or list of the pictures of a
        clip; an array of frames; (samples, rate).

    Returns:
      "video", "audio" or both -> where it is taken from.

    Raises:
      errors.DataError: bytes, or a file of another ending, that are nothing that can be read.
    """
    match media:
        case tuple((np.ndarray(), int() | np.integer())):
            return {"audio": media}
        case bytes():
            pass
        case str() | os.PathLike():
            ending = pathlib.Path(media).suffix.lower()
            if ending in MODALITIES["audio"].suffixes:
                return {"audio": media}
            if ending in MODALITIES["image"].suffixes or os.path.isdir(media):
                return {"video": media}
        case _:
            return {"video": media}
    try:
        is_film = tracks.has_track(media, "video")
    except tracks.StillPicture:
        return {"video": media}
    except tracks.NoContainer as error:
        _require_picture(media, error)
        return {"video": media}
    return {"video": media, "audio": media} if is_film else {"audio": media}


def is_without_sound(media: Source) -> bool:
    """Whether media are a film that has pictures and no sound track.

    Raises:
      errors.DataError: no container that FFmpeg can read.
    """
    media = _whole(media)
    if not isinstance(media, str | os.PathLike | bytes):
        return False
    sounds = MODALITIES["audio"].suffixes
    if not isinstance(media, bytes) and pathlib.Path(media).suffix.lower() in sounds:
        return False
    return not tracks.has_track(media, "audio") and tracks.has_track(media, "video")


def first_group(media: Mapping[str, Source], groups: Mapping[str, Sequence[str]]) -> str:
    """The first of some groups of modalities for which an item has everything.

    Args:
      media: modality -> where it is taken from, as of `of_file`.
      groups: name -> what it takes.

    Raises:
      errors.MissingError: it has everything for none of them.
      errors.DataError: it cannot be read.
    """
    silent = "audio" in media and is_without_sound(media["audio"])
    has = [modality for modality in media if modality != "audio" or not silent]
    for group, takes in groups.items():
        if {*takes} <= {*has}:
            return group
    name = next((describe(one) for one in media.values()), "<item>")
    what = "is a film without a sound track" if silent else f"has {' and '.join(has) or 'nothing'}"
    needs = " or ".join(f"{group} needs {' and '.join(takes)}" for group, takes in groups.items())
    raise errors.MissingError(name, f"{what}, and {needs}; ask by what it has, or leave it out")


@dataclasses.dataclass(frozen=True)
class Decoded:
    """An item as its files have it.

    Attributes:
      arrays: modality -> what `preprocess.decode` gives, of those there are.
      absent: modality whose file has nothing of it -> (what it is called, why).
    """

    arrays: Mapping[str, np.ndarray]
    absent: Mapping[str, tuple[str, str]]


def preprocess(
    media: Mapping[str, Source],
    by_modality: Mapping[str, specs.Spec],
    rng: np.random.Generator | None = None,
    *,
    names: Mapping[str, str] | None = None,
    refuses_empty: bool = False,
) -> Item:
    """Makes an item ready for its encoders: `decode`, then `transform`."""
    decoded = decode(media, by_modality, rng, names=names, refuses_empty=refuses_empty)
    return transform(decoded, by_modality, rng)


def decode(
    media: Mapping[str, Source],
    by_modality: Mapping[str, specs.Spec],
    rng: np.random.Generator | None = None,
    *,
    names: Mapping[str, str] | None = None,
    refuses_empty: bool = False,
) -> Decoded:
    """Reads the files of an item.

    Args:
      media: modality -> file, stretch of one or array; modalities that are not asked for are left
        out.
      by_modality: the preprocessing of each modality that is asked for.
      rng: random generator of training; None is evaluation.
      names: modality -> what errors and warnings call it.
      refuses_empty: whether what shows or sounds nothing counts as absent, see `content`.

    Raises:
      errors.MissingError: nothing of the item is there.
      errors.DataError: a file cannot be decoded.
    """
    arrays: dict[str, np.ndarray] = {}
    absent: dict[str, tuple[str, str]] = {}
    called = {name: describe(one) for name, one in media.items()} | dict(names or {})
    for modality, spec in by_modality.items():
        if modality not in media:
            continue
        try:
            if modality == "audio" and is_without_sound(media[modality]):
                absent[modality] = called[modality], "is a film without a sound track"
                continue
            decoded = _decode(modality, media[modality], spec, rng)
        except errors.DataError as error:
            raise error.renamed((names or {}).get(modality, error.path)) from error
        if refuses_empty:
            try:
                content.require_content(modality, decoded, called[modality], spec)
            except errors.DataError as error:
                reason = error.reason.removesuffix("; drop it from the corpus")
                absent[modality] = called[modality], reason
                continue
        arrays[modality] = decoded
    if not arrays:
        name = next(iter(called.values()), "<item>")
        reasons = "; ".join(reason for _, reason in absent.values())
        has = reasons or f"has {', '.join(media) or 'no media'}"
        raise errors.MissingError(name, f"{has}; expected {' or '.join(by_modality)}")
    return Decoded(arrays, absent)


def transform(
    decoded: Decoded,
    by_modality: Mapping[str, specs.Spec],
    rng: np.random.Generator | None = None,
) -> Item:
    """Makes the arrays of the encoders.

    Args:
      decoded: of `decode`.
      by_modality: the same.
      rng: the same.

    Returns:
      All modalities of `by_modality`, in that order. An `errors.DataWarning` tells what is absent
      though a file is given.
    """
    arrays = {
        name: preprocess_lib.transform(name, decoded.arrays[name], spec, rng)
        for name, spec in by_modality.items()
        if name in decoded.arrays
    }
    for modality, (name, reason) in decoded.absent.items():
        warnings.warn(
            errors.DataWarning(name, f"{reason}; taken as an item without {modality}"),
            stacklevel=2,
        )
    return Item(
        {
            name: arrays[name] if name in arrays else np.zeros(specs.shape(spec), np.float32)
            for name, spec in by_modality.items()
        },
        {name: name in arrays for name in by_modality},
    )


def describe(media: Source) -> str:
    """How errors name what `preprocess` takes."""
    return given.describe(_whole(media))


def _whole(media: Source) -> given.Media:
    """The file of which something is taken."""
    if isinstance(media, stretches.Stretch):
        return media.media
    return media.path if isinstance(media, clips.Clip) else media


def _decode(
    modality: str,
    media: Source,
    spec: specs.Spec,
    rng: np.random.Generator | None,
) -> np.ndarray:
    if isinstance(media, stretches.Stretch):
        return stretches.decode(modality, media, spec)
    if isinstance(media, clips.Clip):
        return clips.decode(modality, media, spec)
    try:
        return preprocess_lib.decode(modality, media, spec, rng)
    except tracks.StillPicture:  # a film of one frame, whatever way the spec chooses frames
        return preprocess_lib.decode(modality, [media], spec, rng)
    except tracks.NoContainer as error:
        if modality != "video":
            raise
        _require_picture(media, error)
        return preprocess_lib.decode(modality, [media], spec, rng)


def _require_picture(media: given.Media, error: tracks.NoContainer) -> None:
    """Checks that what FFmpeg does not know is a picture, unless it is named as a film.

    Raises:
      errors.DataError: why it is none, and `error`.
    """
    is_file = isinstance(media, str | os.PathLike)
    if is_file and pathlib.Path(media).suffix.lower() in MODALITIES["video"].suffixes:
        raise error
    try:
        image.open_picture(media, image.ACCEPTED)
    except errors.DataError as problem:
        raise errors.DataError(error.path, f"{problem.reason}; and it {error.reason}") from problem


def stack(items: Sequence[Item]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Items side by side.

    Args:
      items: at least one, all of the same modalities.

    Returns:
      Modality -> float32 [b, ...], and present, bool [b, m], by the order of the modalities.
    """
    names = list(items[0].arrays)
    arrays = {name: np.stack([one.arrays[name] for one in items]) for name in names}
    return arrays, np.array([[one.present[name] for name in names] for one in items])

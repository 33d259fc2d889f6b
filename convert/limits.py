"""What each format cannot hold of weights, told by name, with ways that were tried.

A way is only named if what it makes has nothing that the format cannot hold, so that following a
message never leads to the next one.
"""

import collections
from collections.abc import Callable, Sequence

from lb_jax.convert import languagebind, pictures, texts
from lb_jax.convert.parts import Weights
from lb_jax.convert.weights import Merged
from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES, TEXT
from lb_jax.models import families, imagebind

# The reason why one tower, or the texts, cannot be held; None where they can.
Reason = Callable[[Weights, str], str | None]


def require(weights: Weights, to: str) -> None:
    """Checks that a format can hold weights.

    Raises:
      CheckpointError: naming every tower that it cannot hold, the reason, and what works.
    """
    found = obstacles(weights, to)
    if found:
        towers = collections.defaultdict(list)
        for name, why in found.items():
            for reason in why:
                towers[reason].append(name)
        told = ", ".join(f"{reason} ({', '.join(names)})" for reason, names in towers.items())
        raise errors.CheckpointError(
            f"{weights.where}: --to={to} cannot hold {told}; {', or '.join(ways(weights, to))}."
        )


def obstacles(weights: Weights, to: str) -> dict[str, list[str]]:
    """Modality, or "text" -> the reasons why a format cannot hold it; empty where it can all."""
    found = {}
    for name in (*weights.config.towers, TEXT):
        rows = _OF_TEXT if name == TEXT else _OF_TOWER
        rows = _OF_FAMILY.get(weights.config.kind.name, rows)
        if why := [told for reason in rows.get(to, ()) if (told := reason(weights, name))]:
            found[name] = why
    return found


def held(weights: Weights, to: str) -> list[str]:
    """The modalities that a format can hold with the texts; none where it cannot hold those."""
    wrong = obstacles(weights, to)
    return [] if TEXT in wrong else [name for name in weights.config.towers if name not in wrong]


def ways(weights: Weights, to: str) -> list[str]:
    """What to do instead of writing weights as they are in a format that cannot hold them."""
    kept: dict[str, list[str]] = {}  # what to add -> the modalities that are then held
    changes: list[tuple[str, Weights]] = [("", weights)]
    if any(tower.lora for tower in weights.config.towers.values()):
        changes.append((" --merge-lora", Merged(weights)))
    for flag, changed in changes:
        some = held(changed, to)
        is_all = len(some) == len(weights.config.towers)
        if some:
            kept[f"add{flag}" if is_all else f"add --only={','.join(some)}{flag}"] = some
    most = [max(kept, key=lambda one: len(kept[one]))] if kept else []  # the first of equal ones
    others = [one for one in _ORDER if one != to and not obstacles(weights, one)]
    return [*most, f"choose --to={' or '.join(others)}"]


def _factors(weights: Weights, name: str) -> str | None:
    return "LoRA factors" if weights.config.towers[name].lora else None


def _time(weights: Weights, name: str) -> str | None:
    return "time attention" if weights.config.towers[name].temporal else None


def _tubes(weights: Weights, name: str) -> str | None:
    return "tubes" if weights.config.towers[name].tube_size else None


def _clips(weights: Weights, name: str) -> str | None:
    tower = weights.config.towers[name]
    is_plain = not (tower.temporal or tower.tube_size)  # which are the reason where they are
    return "clips of frames" if MODALITIES[name].has_frames and is_plain else None


def _grid(weights: Weights, name: str) -> str | None:
    rows, columns = weights.config.towers[name].image_size
    if name == "audio":
        return f"a grid of {rows} mel bins by {columns} steps of time"
    return None if rows == columns else f"pictures of {rows} by {columns} pixels"


def _activations(weights: Weights, name: str) -> str | None:
    here, there = weights.config.towers[name].activation, weights.config.text.activation
    return None if here == there else f"{here} beside {there} in the text tower"


def _numbers(weights: Weights, name: str) -> str | None:
    """LanguageBind's own code reads no statement of pictures: its numbers are always CLIP's."""
    spec = weights.preprocess.get(name, {})
    is_plain = languagebind.folder_config(weights, name).get("model_type") == "clip"
    if name == "audio" or is_plain or pictures.are_usual(spec):
        return None
    mean, std = pictures.numbers(spec)
    return (
        f"pictures normalised with mean {mean} and std {std}, as LanguageBind's code normalises "
        "always with CLIP's"
    )


def _cleaning(weights: Weights, name: str) -> str | None:
    spec = weights.preprocess.get(name, {})
    if texts.is_usual(spec):
        return None
    return f"the cleaning {texts.cleaning(spec)!r}, which CLIP's own tokenizer has not"


def _family(weights: Weights, name: str) -> str | None:
    return f"a tower of {weights.config.kind.name}"


def _adapters(weights: Weights, name: str) -> str | None:
    return None if name == TEXT else _factors(weights, name)


def _fixed(weights: Weights, name: str) -> str | None:
    """The original's code takes pictures and motion of one size alone."""
    if name in (TEXT, "audio"):
        return None
    found, wanted = (one[name].image_size for one in (weights.config.towers, imagebind.SIZES))
    return None if found == wanted else f"inputs of {list(found)}, not {list(wanted)}"


_ORDER = ("hf", "clip", "open_clip", "safetensors")  # which other format is named first
_OF_TOWER: dict[str, Sequence[Reason]] = {
    "hf": (_numbers,),
    "clip": (_time, _tubes, _clips, _grid),
    "open_clip": (_factors, _time, _tubes, _activations),
}
_OF_TEXT: dict[str, Sequence[Reason]] = {"hf": (_cleaning,)}
# A family whose towers are of another form than a CLIP's: in place of both.
_OF_FAMILY: dict[str, dict[str, Sequence[Reason]]] = {
    families.IMAGEBIND.name: {
        "hf": (_adapters, _fixed),
        "clip": (_family,),
        "open_clip": (_family,),
    }
}

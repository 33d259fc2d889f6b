"""Who made the vectors of a table: a model, its settings, and how windows are cut."""

import dataclasses
import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.media import settings as settings_lib

if TYPE_CHECKING:
    from lb_jax.inference.encoder import Encoder

PREFIX = "vectors_"  # of the name of a table
# The families that a store does not name: without a space of their own, and with one.
UNTOLD = {False: "LanguageBind", True: "MMV"}


@dataclasses.dataclass(frozen=True)
class Maker:
    """What made the vectors of a table; a table takes vectors of no other.

    Attributes:
      digest: of the model: weights, config and preprocessing.
      preprocessing: hash of the preprocessing alone.
      dtype: of the computation, "float32" or "bfloat16".
      source: where the model was loaded from; the same model may lie in several places.
      width: of a vector.
      window_s: length of a window of video or audio, in seconds.
      stride_s: from the start of a window to that of the next, in seconds.
      frames: of a window of video, where they are not as many as in training (`lb_jax.load`).
      settings: of files, given to `lb_jax.load`; see `lb_jax.media.settings.to_json`.
      space: where the vectors lie, of a model that has several; empty for others.
      family: of the model; empty for those that there were before stores told it, see `kind`.
    """

    digest: str
    preprocessing: str
    dtype: str
    source: str
    width: int
    window_s: float
    stride_s: float
    frames: int | None = None
    settings: str = ""
    space: str = ""
    family: str = ""

    @classmethod
    def of(cls, model: "Encoder", window_s: float, stride_s: float) -> "Maker":
        """That of a loaded model.

        Raises:
          ConfigError: for lengths that are not above 0.
        """
        for name, value in (("window", window_s), ("stride", stride_s)):
            if not 0 < value < math.inf:
                raise errors.ConfigError(f"{name} is {value}; expected seconds above 0.")
        return cls(
            digest=model.digest,
            preprocessing=model.preprocessing,
            dtype=np.dtype(model.dtype).name,
            source=str(model.source),
            width=model.width,
            window_s=float(window_s),
            stride_s=float(stride_s),
            frames=model.frames,
            settings=settings_lib.to_json(model.settings),
            space=model.space or "",
            family=family_of(model),
        )

    def load(self, source: str | None = None) -> "Encoder":
        """Opens the model; `source` says where it lies if it moved."""
        from lb_jax.inference import opening

        return opening.load_encoder(source or self.source, **self.loading)

    @property
    def loading(self) -> dict[str, Any]:
        """What `lb_jax.load` is given besides the model; None for what is not."""
        own = {"dtype": self.dtype, "frames": self.frames, "space": self.space or None}
        return {**own, **self.reading.given}

    @property
    def reading(self) -> settings_lib.Settings:
        """The settings of files."""
        return settings_lib.from_json(self.settings)

    @property
    def kind(self) -> str:
        """The family by name."""
        return self.family or UNTOLD[bool(self.space)]

    @property
    def name(self) -> str:
        """Of its table; equal for makers whose vectors may be mixed."""
        told = repr(self._identity())
        return f"{PREFIX}{self.digest[:16]}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def is_like(self, other: "Maker") -> bool:
        """Whether vectors of both may be mixed: all but the place of the model is equal."""
        return self._identity() == other._identity()

    def _identity(self) -> tuple[Any, ...]:
        return (
            self.digest,
            self.preprocessing,
            self.dtype,
            int(self.width),
            float(self.window_s),
            float(self.stride_s),
        )

    @property
    def options(self) -> str:
        """Of a command line, for the model with its frames and settings."""
        frames = f" --frames {self.frames}" if self.frames else ""
        space = f" --space {self.space}" if self.space else ""
        return f"--model {self.source}{frames}{space}{self.reading.options}"

    def __str__(self) -> str:
        frames = f", {counted(self.frames, 'frame')}" if self.frames else ""
        reading = f", {self.reading}" if self.settings else ""
        space = f", space {self.space}" if self.space else ""
        family = f"{self.family}, " if self.family else ""
        return f"{self.source} ({family}{self.digest[:12]}{frames}{space}{reading})"


def family_of(model: "Encoder") -> str:
    """How a store names the family of a model: empty for those it had before it named them."""
    family = getattr(model, "family", "")
    return "" if family in UNTOLD.values() else family


# field of a maker: how it is told, and the option of a command line that sets it
SETTINGS = {
    "frames": ("frames: {}", "--frames"),
    "space": ("space {}", "--space"),
    "window_s": ("window {} s", "--window"),
    "stride_s": ("stride {} s", "--stride"),
    "dtype": ("dtype {}", None),
    "width": ("width {}", None),
    "preprocessing": ("preprocessing {}", None),
    "settings": ("settings {}", None),
}
# Of these, what a model is loaded with: another value is another digest of the same model.
LOADED = {"frames", "space", "settings"}


def differing(holds: Maker, given: Maker) -> str:
    """Why vectors of two makers of other digests do not compare, in words."""
    if holds.kind != given.kind:
        return (
            f"holds vectors of {holds.kind} ({holds}), not of {given.kind} ({given}); those of two "
            "families lie in two spaces and do not compare"
        )
    if holds.source == given.source:
        return (
            f"holds vectors of {holds}, which has other weights now, or files are prepared "
            f"otherwise since an update ({given.digest[:12]}); they do not compare"
        )
    return f"holds vectors of {holds}, not of {given}; they do not compare"


def refusal(uri: str, holds: Maker, given: Maker) -> str:
    """Why a store refuses vectors of another maker, and what to do, in words."""
    values = {name: (getattr(holds, name), getattr(given, name)) for name in SETTINGS}
    differ = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    other_loading = holds.source == given.source and bool(LOADED & differ.keys())
    other_loading = other_loading and holds.kind == given.kind
    upgrade = f"go over to it with `lb-jax index upgrade {uri} {given.options}`"
    if holds.digest != given.digest and not other_loading:
        return f"{differing(holds, given)}. Give another store with -o, or {upgrade}."
    # the number of frames and settings of files are a part of the preprocessing
    names = [name for name in differ if not (other_loading and name == "preprocessing")]
    if "settings" in names:
        made, now = holds.reading, given.reading
        remedy = f"give{made.options}" if made.given else f"leave out{now.options}"
        return (
            f"holds vectors of {holds} made with {made or 'the settings of the model'}, not "
            f"{now or 'those of the model'}; they are not mixed. Give another store with -o, "
            f"{remedy}, or {upgrade}."
        )
    told = ", ".join(
        f"{SETTINGS[name][0].format(_shown(differ[name][0]))}, not {_shown(differ[name][1])}"
        for name in names
    )
    if names == ["frames"]:
        remedy = upgrade
    else:
        same = [
            f"{SETTINGS[name][1]} {_shown(differ[name][0])}"
            for name in names
            if SETTINGS[name][1] and differ[name][0] is not None
        ]
        remedy = " ".join(same) or "the model as it was"
    return (
        f"holds vectors of {holds} made with {told}; they do not compare. Give another store with "
        f"-o, or {remedy}."
    )


def _shown(value: Any) -> str:
    """A setting in words; frames that are not given are those of training."""
    return (
        "as trained" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"
    )

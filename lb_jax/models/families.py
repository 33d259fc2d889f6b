"""Families of models: which towers are one, and what tells how sure a family is.

Vectors of two families lie in two spaces. They may be equally long, and each of length 1, and still
say nothing of each other, so a family has a name by which a mix is refused.
"""

import dataclasses
from collections.abc import Mapping

from lb_jax.core.modalities import TEXT


@dataclasses.dataclass(frozen=True)
class Family:
    """What the models of a family have in common.

    Attributes:
      name: of the family.
      twins: modalities that one tower serves.
      own_scales: of what has a temperature of its own, which the original multiplies its vectors
        by, so that the product of two vectors has both. Empty where the temperature belongs to a
        modality with the text, and the vectors are without.
      clips: modalities whose items may be several clips, the mean of whose vectors stands for them.
      ceiling: of an inverse temperature when it is used; None for no other than that of training.
      presets: preset of preprocessing that is asked for -> the one of `lb_jax.media.presets` that
        is meant.
    """

    name: str
    twins: tuple[str, ...] = ()
    own_scales: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    ceiling: float | None = None
    presets: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def preset(self, name: str) -> str:
        """The preset that is meant by a name."""
        return self.presets.get(name, name)


LANGUAGEBIND = Family("LanguageBind")
IMAGEBIND = Family(
    "ImageBind",
    twins=("image", "video"),
    own_scales=("audio", "depth", "imu", TEXT, "thermal"),
    clips=("audio", "depth", "thermal", "video"),
    ceiling=100.0,
    presets={"default": "imagebind", "reference": "imagebind_reference"},
)
FAMILIES = {family.name: family for family in (LANGUAGEBIND, IMAGEBIND)}

"""Known sizes of MMV's towers and its graphs, one row each.

A model is a row of both: `mmv_architecture("MMV-S3D").model("fac_relu")` is the released S3D-G.
The vocabulary is that of the released models.
"""

import dataclasses
from collections.abc import Callable

from lb_jax.core import errors
from lb_jax.models import resnet
from lb_jax.models.graphs import GraphConfig, HeadConfig
from lb_jax.models.mmv import MmvConfig
from lb_jax.models.resnet import ResNetConfig
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig
from lb_jax.models.words import WordsConfig


def _factorised(interaction: str) -> Callable[[int, int], GraphConfig]:
    """The fine space of sight and sound, and from it the coarse one of all (MMV spec 3)."""

    def graph(fine: int, coarse: int) -> GraphConfig:
        heads = {
            "video_va": HeadConfig(fine, inner=(fine,), norm=True),
            "audio_va": HeadConfig(fine),
            "coarse": HeadConfig(coarse, norm=True),
            "text_vat": HeadConfig(coarse),
            "audio_at": HeadConfig(fine),
            "text_at": HeadConfig(fine),
        }
        return GraphConfig("fac", heads, interaction)

    return graph


def _disjoint(fine: int, coarse: int) -> GraphConfig:
    """Two spaces that know nothing of each other, of one width, as the package has them."""
    del coarse
    heads = {name: HeadConfig(fine) for name in ("audio_va", "text_vt", "audio_at", "text_at")}
    heads |= dict.fromkeys(("video_va", "video_vt"), HeadConfig(fine, inner=(fine,), norm=True))
    return GraphConfig("disjoint", heads)


def _shared(fine: int, coarse: int) -> GraphConfig:
    """One space of all three, as the package has it."""
    del coarse
    video = HeadConfig(fine, inner=(fine,), norm=True)
    plain = HeadConfig(fine)
    return GraphConfig("shared", {"video_vat": video, "audio_vat": plain, "text_vat": plain})


# Name -> graph of a width of the fine space and one of the coarse.
GRAPHS: dict[str, Callable[[int, int], GraphConfig]] = {
    "fac_relu": _factorised("relu"),
    "fac": _factorised("none"),
    "fac_bnrelu": _factorised("bnrelu"),
    "disjoint": _disjoint,
    "shared": _shared,
}


WORDS = WordsConfig()  # of the released models


@dataclasses.dataclass(frozen=True)
class MmvArchitecture:
    """Towers, and the widths of their spaces.

    Attributes:
      video, audio, text: the towers.
      fine, coarse: numbers of a vector in the fine space, and in the coarse one of "fac".
    """

    video: S3DConfig | TSMConfig
    audio: ResNetConfig = resnet.VARIANTS[50]
    text: WordsConfig = WORDS
    fine: int = 512
    coarse: int = 256

    def model(self, graph: str, modalities: tuple[str, ...] = ("audio", "text")) -> MmvConfig:
        """The model of a graph, a row of `GRAPHS`, with video and some other modalities.

        Raises:
          ConfigError: for an unknown graph, with the nearest one.
        """
        if graph not in GRAPHS:
            raise errors.ConfigError(
                f"unknown graph {graph!r}; known: {', '.join(GRAPHS)}."
                f"{errors.nearest(graph, GRAPHS)}"
            )
        beside = {name: getattr(self, name) for name in ("audio", "text") if name in modalities}
        made = GRAPHS[graph](self.fine, self.coarse)
        return MmvConfig(_of_towers(made, ("video", *beside)), video=self.video, **beside)


def _of_towers(graph: GraphConfig, modalities: tuple[str, ...]) -> GraphConfig:
    """The graph without heads that none of the modalities takes."""
    used = {route.head for modality, _, route in graph.routes() if modality in modalities}
    heads = {name: head for name, head in graph.heads.items() if name in used}
    return dataclasses.replace(graph, heads=heads)


MMV_ARCHITECTURES = {
    "MMV-tiny": MmvArchitecture(  # trains on a laptop CPU
        TSMConfig((16, 32, 64), (1, 1, 1), stem=8),
        ResNetConfig((16, 32, 64), (1, 1, 1), bottleneck=False, stem=8),
        WordsConfig(64, vocab=1024, word_dim=32),
        fine=32,
        coarse=16,
    ),
    "MMV-demo": MmvArchitecture(
        TSMConfig((32, 64, 128), (1, 1, 1), stem=16),
        ResNetConfig((32, 64, 128), (1, 1, 1), stem=16),
        WordsConfig(128, vocab=1024, word_dim=32),
        fine=128,
        coarse=64,
    ),
    "MMV-S3D": MmvArchitecture(S3DConfig(space_to_depth=True)),
    "MMV-TSM": MmvArchitecture(TSMConfig()),
    "MMV-TSMx2": MmvArchitecture(TSMConfig().wider(2)),
}


def mmv_architecture(name: str) -> MmvArchitecture:
    """Looks a size up by name.

    Raises:
      ConfigError: for an unknown name, with the nearest one.
    """
    if name not in MMV_ARCHITECTURES:
        raise errors.ConfigError(
            f"unknown architecture {name!r} of MMV; known: {', '.join(MMV_ARCHITECTURES)}."
            f"{errors.nearest(name, MMV_ARCHITECTURES)}"
        )
    return MMV_ARCHITECTURES[name]

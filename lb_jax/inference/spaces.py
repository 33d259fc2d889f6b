"""The spaces of an MMV model: which one it is loaded for, and what is said of those it has not."""

from lb_jax.core import errors
from lb_jax.models.mmv import MmvConfig


def of_modality(cfg: MmvConfig, modality: str) -> tuple[str, ...]:
    """Spaces that a modality with a tower lies in, those it was trained in."""
    return cfg.graph.spaces(modality)


def names(cfg: MmvConfig) -> tuple[str, ...]:
    """All spaces that some tower lies in."""
    return tuple(dict.fromkeys(one for name in cfg.towers for one in of_modality(cfg, name)))


def told(cfg: MmvConfig) -> str:
    """Where every modality lies, in words."""
    return "; ".join(
        f"{name} lies in {' and '.join(of_modality(cfg, name))}" for name in cfg.towers
    )


def chosen(cfg: MmvConfig, space: str | None, where: object) -> str:
    """The space that a model is loaded for.

    Args:
      cfg: the model.
      space: that is asked for; None takes the one that all towers share, of several that of the
        fewest modalities.
      where: the model, for the error.

    Raises:
      ConfigError: naming the spaces of every modality, where there is no such space or a choice.
    """
    known = names(cfg)
    if space is not None:
        if space in known:
            return space
        raise errors.ConfigError(
            f"{where}: no space {space!r}: {told(cfg)}.{errors.nearest(space, known)}"
        )
    shared = [one for one in known if all(one in of_modality(cfg, name) for name in cfg.towers)]
    least = [one for one in shared if len(one) == min(map(len, shared))]
    if len(least) == 1:
        return least[0]
    found = f"{' and '.join(least)} are shared" if least else "none is shared"
    raise errors.ConfigError(
        f"{where}: no space was chosen, and {found} by all modalities: {told(cfg)}; choose one: "
        f'space="{(least or known)[0]}", or --space {(least or known)[0]}.'
    )


def require(cfg: MmvConfig, modality: str, space: str) -> None:
    """Raises `ConfigError` for a space that is none of a modality with a tower."""
    if space not in of_modality(cfg, modality):
        raise errors.ConfigError(
            f"{modality} has no vector in the space {space!r}: {told(cfg)}; choose "
            f"{' or '.join(of_modality(cfg, modality))}."
        )

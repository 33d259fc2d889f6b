"""What a model is: the preprocessing that its weights state, and the hashes that tell it apart."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

from lb_jax.convert.parts import Weights
from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.media import specs


def read_specs(weights: Weights, preset: str) -> dict[str, specs.Spec]:
    """The preprocessing spec of every tower and of text.

    Args:
      weights: say what is fixed by training, such as frames and sizes.
      preset: gives the rest.

    Raises:
      CheckpointError: for fields that no spec has.
      ConfigError: for an unknown preset.
    """
    preset = weights.config.kind.preset(preset)
    usual = {name: specs.to_dict(specs.preset(name, preset)) for name in weights.preprocess}
    try:
        found = {
            name: specs.from_dict(name, {**usual[name], **given})
            for name, given in weights.preprocess.items()
        }
    except errors.ConfigError as error:
        raise errors.CheckpointError(
            f"{weights.where}: {str(error).removesuffix('.')}; write the checkpoint again."
        ) from error
    text = specs.of_text({TEXT: specs.preset(TEXT, preset), **found})
    return {**found, TEXT: dataclasses.replace(text, context=weights.config.text.context)}


def digest(weights: str, found: Mapping[str, specs.Spec]) -> str:
    """Hash of a model, 64 hex digits.

    Args:
      weights: hash of the weights and their config.
      found: preprocessing by modality.
    """
    told = ", ".join(f"({name!r}, {specs.told(spec)})" for name, spec in sorted(found.items()))
    return hashlib.sha256(f"{weights} [{told}]".encode()).hexdigest()


def preprocessing(found: Mapping[str, specs.Spec]) -> str:
    """Hash of the preprocessing of all modalities, 16 hex digits."""
    told = json.dumps({name: specs.digest(spec) for name, spec in sorted(found.items())})
    return hashlib.sha256(told.encode()).hexdigest()[:16]

"""Depth by any model that transformers has for it, behind the same door as ours.

transformers and torch are no part of this package; they are asked for here alone.
"""

import importlib
from collections.abc import Callable

import numpy as np
from huggingface_hub import errors as hub_errors

from lb_jax.builder import depth, spread
from lb_jax.core import errors

PREFIX = "transformers:"  # of a name that is meant for it
NEEDED = ("torch", "transformers")


def load(name: str, *, batch_size: int | None = None) -> depth.Given:
    """Opens a depth model of transformers: a folder or a name on the hub.

    Raises:
      ConfigError: when a package is missing, the model cannot be opened, or tells no metres.
    """
    torch, transformers = map(_package, NEEDED)
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name)
        model = transformers.AutoModelForDepthEstimation.from_pretrained(name)
    except (OSError, ValueError, KeyError, hub_errors.StrictDataclassError) as error:
        raise errors.ConfigError(
            f"{name}: transformers opens no depth model of that name: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    kind = getattr(model.config, "depth_estimation_type", "metric")
    if kind != "metric":
        raise errors.ConfigError(
            f"{name}: tells {kind} depth, not metres; take a model that is trained for metres."
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = _function(torch, processor, model.eval().to(device), device)
    made_by = {"network": type(model).__name__, "weights": name, "by": "transformers"}
    return depth.Given(run, made_by, batch_size or spread.BATCH)


def _package(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise errors.ConfigError(
            f"--depth {PREFIX}… needs the package {name}, which is not here ({error}); install "
            f"{' and '.join(NEEDED)}, or take a GLPN, which needs neither."
        ) from error


def _function(torch, processor, model, device: str) -> Callable[[np.ndarray], np.ndarray]:
    def metres(frames: np.ndarray) -> np.ndarray:
        given = processor(images=list(frames), return_tensors="pt").to(device)
        with torch.inference_mode():
            found = model(**given)
        sides = [frames.shape[1:3]] * len(frames)
        told = processor.post_process_depth_estimation(found, target_sizes=sides)
        return np.stack([one["predicted_depth"].float().cpu().numpy() for one in told])

    return metres

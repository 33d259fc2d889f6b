"""Small published weights with drawn values: CLIP, LanguageBind and OpenCLIP folders."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from lb_jax.convert import clip, languagebind, open_clip, rules
from lb_jax.convert.source import leaf_shapes
from lb_jax.models.lora import LoraConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

VISION = VisionConfig(
    width=16, depth=2, heads=2, mlp_dim=32, patch_size=8, image_size=(24, 24), embed_dim=8
)
TEXT = TextConfig(width=12, depth=2, heads=2, mlp_dim=24, embed_dim=8, vocab=60, context=10)
WORDS = dataclasses.replace(TEXT, vocab=49408)  # knows every token of CLIP's
LORA = dataclasses.replace(VISION, lora=LoraConfig(rank=2))
VIDEO = dataclasses.replace(
    VISION,
    frames=2,
    temporal=True,
    lora=LoraConfig(rank=2, targets=r"blocks/temporal_attn/(q|k|v|out)_proj"),
)

LORA_CONFIG = languagebind.to_config("depth", LORA, TEXT)["vision_config"]


@functools.cache
def arrays(
    table: tuple[rules.Rule, ...],
    vision: VisionConfig = VISION,
    modality: str = "image",
    text: TextConfig = TEXT,
) -> Mapping[str, np.ndarray]:
    """Name -> drawn tensor, float32, for every row of a table."""
    rng = np.random.default_rng(0)
    found = rules.places(table, leaf_shapes(modality, vision, text))
    return {
        place.name: np.asarray(0.3 * rng.standard_normal(place.foreign_shape), np.float32)
        for place in found
    }


def write(folder: Path, tensors: Mapping[str, np.ndarray], config: dict) -> Path:
    """A folder as it lies on the hub."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def clip_folder(folder: Path, text: TextConfig = TEXT) -> Path:
    """Hugging Face CLIP."""
    return write(folder, arrays(clip.RULES, text=text), clip.to_config(VISION, text))


def languagebind_folder(
    folder: Path, modality: str, vision: VisionConfig = LORA, text: TextConfig = TEXT
) -> Path:
    """LanguageBind with LoRA factors under PEFT's names, if it has any."""
    table = clip.RULES
    if vision.lora:
        table = clip.peft_rules(vision.lora.targets, base_layer=False)
    config = languagebind.to_config(modality, vision, text)
    return write(folder, arrays(table, vision, modality, text), config)


def open_clip_folder(folder: Path, text: TextConfig = TEXT) -> Path:
    """OpenCLIP's native format."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = dict(arrays(open_clip.RULES, text=text))
    safetensors.numpy.save_file(tensors, folder / "open_clip_model.safetensors")
    config = open_clip.to_config(VISION, text)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def change(folder: Path, section: str | None = None, /, **values) -> None:
    """Overwrites fields of the `config.json`, at its top or in a section."""
    config = json.loads((folder / "config.json").read_text())
    (config[section] if section else config).update(values)
    (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder: Path, changed, name: str = "model.safetensors") -> None:
    """Replaces the weights by what a function makes of name -> tensor."""
    tensors = safetensors.numpy.load_file(folder / name)
    changed(tensors)
    safetensors.numpy.save_file(tensors, folder / name, {"format": "pt"})

"""Weights that come without a config: what their shapes tell of it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lb_jax.convert import clip, languagebind, open_clip
from lb_jax.core import errors
from lb_jax.core.words import counted

# Rows of the position table -> mel bins and spectrogram frames, for audio checkpoints without a
# config: the training scripts', the released models' and the command line's default (spec 4).
_AUDIO_SIZES = {667: (126, 1036), 593: (112, 1036), 658: (128, 1024)}
_ALPHA = 16  # of every LanguageBind script (spec 3.1)


def training_config(
    where: Path, shapes: Mapping[str, tuple[int, ...]], modality: str | None
) -> dict[str, Any]:
    """The config of a LanguageBind training checkpoint, which stores none, from its shapes.

    Raises:
      CheckpointError: when they are not those of a published base, or do not tell the modality.
    """
    layers = {
        name for name in shapes if re.search(r"encoder\.(base_model\.model\.)?layers\.0\.", name)
    }
    times = [name for name in layers if name.endswith("temporal_embedding")]
    modality = modality or ("video" if times else None)
    if modality is None:
        raise errors.CheckpointError(
            f"{where}: a training checkpoint does not say its modality; load it as "
            '{"depth": path} (or audio, thermal, image), or put its config.json beside it.'
        )
    prefix = "vision_model.embeddings"
    try:
        kernel = shapes[f"{prefix}.patch_embedding.weight"]
        positions = shapes[f"{prefix}.position_embedding.weight"]
        vocab, text_width = shapes["text_model.embeddings.token_embedding.weight"]
        context, _ = shapes["text_model.embeddings.position_embedding.weight"]
        embed_dim = shapes["visual_projection.weight"][0]
        published = kernel[0], kernel[-1], text_width, embed_dim
        rows, frames = positions[0], shapes[times[0]][1] if times else 1
        tubes = shapes[f"{prefix}.class_embedding"][0] if len(kernel) == 5 else 0
    except KeyError as error:
        raise errors.CheckpointError(
            f"{where}: has no {error}; a checkpoint holds the whole model."
        ) from error
    except (ValueError, IndexError) as error:
        raise errors.CheckpointError(
            f"{where}: its tables have not the dimensions of a LanguageBind model; put its "
            "config.json beside it to be told which."
        ) from error
    sizes = [
        row
        for row in open_clip.MODELS.values()
        if (row[0][0], row[0][4], row[1][0], row[2]) == published
    ]
    if not sizes:
        raise errors.CheckpointError(
            f"{where}: width {kernel[0]}, patch {kernel[-1]} and text width {text_width} are of no "
            f"published base ({', '.join(open_clip.MODELS)}); put its config.json beside it."
        )
    (width, depth, head_width, ratio, patch, side), (_, text_heads, text_depth), _ = sizes[0]
    vision, text = open_clip.towers(
        {
            "embed_dim": embed_dim,
            "vision_cfg": {
                "width": width,
                "layers": depth,
                "head_width": head_width,
                "mlp_ratio": ratio,
                "patch_size": patch,
                "image_size": side,
            },
            "text_cfg": {
                "width": text_width,
                "heads": text_heads,
                "layers": text_depth,
                "vocab_size": vocab,
                "context_length": context,
            },
        },
        where,
    )
    config = languagebind.to_config(modality, vision, text)
    values = config["vision_config"]
    ranks = set(clip.factors(shapes, where).values())
    values |= {"lora_r": min(ranks, default=0), "lora_alpha": _ALPHA}
    if times:
        values |= {"add_time_attn": True, "num_frames": frames}
    if len(kernel) == 5:
        tube = kernel[2]
        values |= {"clip_type": languagebind.VERSION_1_5, "tube_size": tube}
        values["num_frames"] = tubes * tube
    if modality == "audio":
        if rows not in _AUDIO_SIZES:
            raise errors.CheckpointError(
                f"{where}: a position table of {counted(rows, 'row')} is of no published "
                "spectrogram; put a config.json with num_mel_bins and target_length beside it."
            )
        values["num_mel_bins"], values["target_length"] = _AUDIO_SIZES[rows]
    return config

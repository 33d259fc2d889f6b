"""TSM-ResNet-50 and S3D-G as plain PyTorch modules, for `mmv_speed.py` (MMV spec 1.2 and 1.3).

Modules are named as ours are, so that `copied` needs no table. Videos are [b, c, t, h, w] as
PyTorch has them; what a tower gives is [b, f], the mean over all places.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lb_jax.core import paths
from lb_jax.models import convolution, s3d
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig

Axes = Sequence[int]
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {2: functional.max_pool2d, 3: functional.max_pool3d}


def same(sizes: Axes, window: Axes, strides: Axes) -> list[int]:
    """TensorFlow's SAME for `functional.pad`: before and behind each axis, the last axis first."""
    widths = []
    for size, side, step in zip(sizes, window, strides, strict=True):
        missing = max((-(-size // step) - 1) * step + side - size, 0)
        widths = [missing // 2, missing - missing // 2, *widths]
    return widths


class Conv(nn.Module):
    """A convolution without bias; PyTorch itself fills up borders where they are alike."""

    def __init__(self, inputs: int, outputs: int, window: Axes, strides: Axes):
        super().__init__()
        made = CONVOLUTIONS[len(window)](inputs, outputs, window, strides, bias=False)
        self.weight, self.window, self.strides = made.weight, window, strides
        self.run = {2: functional.conv2d, 3: functional.conv3d}[len(window)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        widths = same(x.shape[2:], self.window, self.strides)
        if widths[::2] == widths[1::2]:
            return self.run(x, self.weight, None, self.strides, widths[-2::-2])
        return self.run(functional.pad(x, widths), self.weight, None, self.strides)


def max_pool(x: torch.Tensor, window: Axes, strides: Axes) -> torch.Tensor:
    """Behind the last place of an axis there is nothing, which is what `ceil_mode` means."""
    widths = same(x.shape[2:], window, strides)
    return POOLS[len(window)](x, window, strides, padding=widths[-2::-2], ceil_mode=True)


def batch_norm(width: int, axes: int) -> nn.Module:
    """Momentum is the share of the new batch."""
    return NORMS[axes](width, eps=convolution.EPSILON, momentum=1 - convolution.DECAY)


# ---- TSM-ResNet ----


class Block(nn.Module):
    """Norm, ReLU, convolution, three times; the first convolution sees shifted channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool, shift: float):
        super().__init__()
        inner, strides = outputs // 4, (stride, stride)
        self.norm1, self.conv1 = batch_norm(inputs, 2), Conv(inputs, inner, (1, 1), (1, 1))
        self.norm2, self.conv2 = batch_norm(inner, 2), Conv(inner, inner, (3, 3), strides)
        self.norm3, self.conv3 = batch_norm(inner, 2), Conv(inner, outputs, (1, 1), (1, 1))
        self.shortcut = Conv(inputs, outputs, (1, 1), strides) if project else None
        self.shift = shift

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        seen = functional.relu(self.norm1(x))
        added = x if self.shortcut is None else self.shortcut(seen)
        x = self.conv1(shifted(seen, self.shift, frames))
        x = self.conv2(functional.relu(self.norm2(x)))
        return self.conv3(functional.relu(self.norm3(x))) + added


def shifted(x: torch.Tensor, share: float, frames: int) -> torch.Tensor:
    """Last channels of the next frame | middle of this one | first channels of the last frame."""
    x = x.unflatten(0, (-1, frames))
    count = int(x.shape[2] * share)
    first, middle, last = x.split((count, x.shape[2] - 2 * count, count), dim=2)
    nothing = torch.zeros_like(first[:, :1])
    after, before = torch.cat([last[:, 1:], nothing], 1), torch.cat([nothing, first[:, :-1]], 1)
    return torch.cat([after, middle, before], 2).flatten(0, 1)


class TSM(nn.Module):
    """[b, 3, t, h, w] -> [b, f]."""

    def __init__(self, cfg: TSMConfig):
        super().__init__()
        self.stem, width = Conv(3, cfg.stem, (7, 7), (2, 2)), cfg.stem
        self.groups = nn.ModuleList()
        for i, (channels, count) in enumerate(zip(cfg.channels, cfg.blocks, strict=True)):
            group = nn.ModuleList()
            for j in range(count):
                group.append(Block(width, channels, 2 if i and not j else 1, not j, cfg.shift))
                width = channels
            self.groups.append(group)
        self.final_norm = batch_norm(width, 2)

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        frames = video.shape[2]
        x = max_pool(self.stem(video.transpose(1, 2).flatten(0, 1)), (3, 3), (2, 2))
        for group in self.groups:
            for block in group:
                x = block(x, frames)
        x = functional.relu(self.final_norm(x))
        return x.mean((2, 3)).unflatten(0, (-1, frames)).mean(1)


# ---- S3D-G ----


class Gate(nn.Module):
    """Multiplies each channel by what the clip's mean says of it."""

    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.proj(x.mean((2, 3, 4))))[:, :, None, None, None]


class Unit(nn.Module):
    """Convolution, norm, ReLU; the same in time; a gate."""

    def __init__(self, inputs, outputs, window=(1, 1, 1), strides=(1, 1, 1), frames=0, gated=False):
        super().__init__()
        self.conv, self.norm = Conv(inputs, outputs, window, strides), batch_norm(outputs, 3)
        if frames:
            self.time_conv = Conv(outputs, outputs, (frames, 1, 1), (1, 1, 1))
            self.time_norm = batch_norm(outputs, 3)
        self.in_time = bool(frames)
        self.gate = Gate(outputs) if gated else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        if self.in_time:
            x = functional.relu(self.time_norm(self.time_conv(x)))
        return self.gate(x)


class Inception(nn.Module):
    """Four branches beside each other."""

    def __init__(self, inputs: int, size: s3d.Mixed):
        super().__init__()
        wide = functools.partial(Unit, window=(1, 3, 3), frames=3, gated=True)
        self.branch_0 = Unit(inputs, size.branch_0, gated=True)
        self.before_1, self.branch_1 = (
            Unit(inputs, size.before_1),
            wide(size.before_1, size.branch_1),
        )
        self.before_2, self.branch_2 = (
            Unit(inputs, size.before_2),
            wide(size.before_2, size.branch_2),
        )
        self.branch_3 = Unit(inputs, size.branch_3, gated=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        first, second = self.branch_1(self.before_1(x)), self.branch_2(self.before_2(x))
        return torch.cat([self.branch_0(x), first, second, self.branch_3(pooled)], 1)


class S3D(nn.Module):
    """[b, 3, t, h, w] -> [b, 1024], of the published shape."""

    def __init__(self, cfg: S3DConfig):
        super().__init__()
        self.space_to_depth = cfg.space_to_depth
        width, window, strides = cfg.entry
        for name, size in s3d.LAYERS.items():
            if isinstance(size, s3d.Pool):
                continue
            if isinstance(size, s3d.Mixed):
                made, behind = Inception(width, size), size.channels
            elif name == "conv_1a":
                made, behind = Unit(width, size, window, strides), size
            elif name == "conv_2b":
                made, behind = Unit(width, size), size
            else:
                made, behind = Unit(width, size, (1, 3, 3), frames=3, gated=True), size
            self.add_module(name, made)
            width = behind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.space_to_depth:
            for axis in (4, 3, 2):  # of t, then y, x, colour
                x = torch.stack(
                    [x[(slice(None),) * axis + (slice(i, None, 2),)] for i in (0, 1)], 1
                )
                x = x.flatten(1, 2)
        for name, size in s3d.LAYERS.items():
            x = max_pool(x, *size) if isinstance(size, s3d.Pool) else getattr(self, name)(x)
        return x.mean((2, 3, 4))


# ---- both ----

TOWERS = {TSMConfig: TSM, S3DConfig: S3D}
_NAMES = {
    "kernel": "weight",
    "scale": "weight",
    "running/mean/average": "running_mean",
    "running/var/average": "running_var",
}


def copied(cfg: TSMConfig | S3DConfig, params: Mapping[str, Any]) -> nn.Module:
    """The tower of a config with our leaves."""
    made = TOWERS[type(cfg)](cfg)
    state = made.state_dict()
    for path, leaf in named(params).items():
        state[path] = torch.from_numpy(leaf)
    made.load_state_dict(state)
    return made


def named(params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our leaves (or gradients) by PyTorch's names, in its order of axes."""
    found = {}
    for path, leaf in paths.flatten(params).items():
        end = next((end for end in _NAMES if path.endswith(f"/{end}")), None)
        name = path if end is None else path.removesuffix(end) + _NAMES[end]
        if "running/" in name:  # what Haiku keeps beside the averages
            continue
        one = np.asarray(leaf)
        if path.endswith("kernel"):
            one = np.moveaxis(one, (-1, -2), (0, 1))
        found[name.replace("/", ".")] = np.ascontiguousarray(one)
    return found

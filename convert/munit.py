"""MUNIT's generators under the names of sRGB-TIR's weights (generators spec 2.5), in and out.

A file holds both: `{"a": state dict, "b": state dict}`. Neither it nor the dicts state a shape
besides those of their tensors, of which all of it follows.
"""

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import nnx

from lb_jax.convert import glpn, hub, lazy, rules, tensors
from lb_jax.convert.lazy import LazyTensor
from lb_jax.convert.rules import Rule
from lb_jax.core import checkpoint, errors, paths
from lb_jax.models.munit import STYLE_WIDTHS, Generator, MunitConfig

FILE = "translation_weights.pt"  # as sRGB-TIR released it
DOMAINS = ("a", "b")  # of sRGB-TIR: thermal, RGB
PARTS = ("content", "decoder", "mlp", "style")  # of a generator
# Of one domain each, as `save` writes them.
ALONE = {domain: f"{domain}.safetensors" for domain in DOMAINS}

_RES = {"conv1": "0", "conv2": "1"}
_NORMS = "norm.running_mean", "norm.running_var"
# Buffers of norms that read no statistics, in no mode: AdaIN's, and those that PyTorch 0.3 wrote.
IGNORED = (
    r"dec\.model\.0\.model\.\d+\.model\.[01]\.norm\.running_(mean|var)",
    r"enc_content\..*\.running_(mean|var)",
)


def table(cfg: MunitConfig) -> tuple[Rule, ...]:
    """The rows of one generator; the numbers of modules follow from the number of halvings."""
    down, conv = cfg.halvings, glpn.conv
    rows = [
        *conv("style/stem", "enc_style.model.0.conv"),
        *conv("style/proj", f"enc_style.model.{len(STYLE_WIDTHS) + 2}"),
        *conv("content/stem", "enc_content.model.0.conv"),
        *conv("decoder/out", f"dec.model.{1 + 2 * down}.conv"),
        *rules.linear("mlp/fc1", "mlp.model.0.fc"),
        *rules.linear("mlp/fc2", "mlp.model.1.fc"),
        *rules.linear("mlp/fc3", "mlp.model.2.fc"),
    ]
    for i in range(len(STYLE_WIDTHS)):
        rows += conv(f"style/down/{i}", f"enc_style.model.{i + 1}.conv")
    for i in range(down):
        there = f"dec.model.{2 + 2 * i}"
        rows += conv(f"content/down/{i}", f"enc_content.model.{i + 1}.conv")
        rows += conv(f"decoder/up/{i}/conv", f"{there}.conv")
        rows.append(Rule(f"decoder/up/{i}/norm/scale", f"{there}.norm.gamma"))
        rows.append(Rule(f"decoder/up/{i}/norm/bias", f"{there}.norm.beta"))
    for ours, theirs in (
        ("content", f"enc_content.model.{down + 1}"),
        ("decoder", "dec.model.0"),
    ):
        for name, number in _RES.items():
            here, there = rf"{ours}/blocks/(\d+)/{name}", rf"{theirs}.model.\1.model.{number}.conv"
            rows += conv(here, there)
    return tuple(rows)


@functools.lru_cache(maxsize=8)  # building the network to see its shapes takes a while
def leaf_shapes(cfg: MunitConfig) -> Mapping[str, tuple[int, ...]]:
    """Path -> shape of all leaves of a generator."""
    module = nnx.eval_shape(lambda: Generator(cfg, rngs=nnx.Rngs(params=0)))
    leaves = paths.flatten(nnx.to_pure_dict(nnx.split(module)[1]))
    return {path: leaf.shape for path, leaf in leaves.items()}


def places(cfg: MunitConfig) -> list[rules.Place]:
    """Where every leaf of a generator lies in its state dict."""
    return rules.places(table(cfg), leaf_shapes(cfg))


def config(shapes: Mapping[str, tuple[int, ...]], where: object) -> MunitConfig:
    """The generator that tensors of these shapes belong to.

    Raises:
      CheckpointError: when they are those of no generator of MUNIT.
    """
    stem, first = "enc_content.model.0.conv.weight", "mlp.model.0.fc.weight"
    if len(shapes.get(stem, ())) != 4 or len(shapes.get(first, ())) != 2:
        names = lazy.some((f"{name} {list(shape)}" for name, shape in shapes.items()), 3)
        raise errors.CheckpointError(
            f"{where}: no {stem} of [width, 3, 7, 7] and {first} of [mlp, style], found "
            f"{names or 'no tensors'}; give the generators of a MUNIT."
        )
    convs = [n for n in shapes if re.fullmatch(r"enc_content\.model\.\d+\.conv\.weight", n)]
    blocks = {
        hit[1]
        for name in shapes
        if (hit := re.fullmatch(r"enc_content\.model\.\d+\.model\.(\d+)\..*\.weight", name))
    }
    try:
        return MunitConfig(
            width=shapes[stem][0],
            mlp_dim=shapes[first][0],
            style_dim=shapes[first][1],
            halvings=len(convs) - 1,
            blocks=len(blocks),
        )
    except errors.ConfigError as error:
        raise errors.CheckpointError(f"{where}: {error}") from error


def load(
    given: str | Path,
    wanted: Mapping[str, Collection[str]] | None = None,
    dtype: Any = np.float32,
) -> tuple[MunitConfig, paths.Tree]:
    """Reads both generators of a file, or the parts of them that are wanted.

    All tensors of both are proven to fit, whatever is wanted.

    Args:
      given: `translation_weights.pt`, a folder that holds it or what `save` wrote, or a hub name.
      wanted: domain -> some of `PARTS`; None is all.
      dtype: of the result; None keeps what is stored.

    Returns:
      Shape of both, and domain -> parameters as numpy arrays.

    Raises:
      ConfigError: for a name that is neither here nor to be had.
      CheckpointError: when it cannot be read, the two differ in shape, or naming what is missing,
        has no place in a generator, is of another shape or not finite.
    """
    path = hub.local(given)
    states = _states(path)
    shapes = {
        domain: {name: tensor.shape for name, tensor in state.items()}
        for domain, state in states.items()
    }
    cfgs = {domain: config(of, f"{path}: {domain}") for domain, of in shapes.items()}
    cfg = cfgs[DOMAINS[0]]
    if len({*cfgs.values()}) > 1:
        told = "; ".join(f"{domain} is {one}" for domain, one in cfgs.items())
        raise errors.CheckpointError(
            f"{path}: the two generators have two shapes: {told}. Give those of one model."
        )
    expected, found = places(cfg), {}
    for domain, state in states.items():
        where = f"{path}: {domain}"
        rules.prove(where, state, expected, IGNORED)
        parts = PARTS if wanted is None else wanted.get(domain, ())
        leaves = {
            leaf: (group, dtype or rules.stored(state, group))
            for leaf, group in rules.by_path(expected).items()
            if leaf.partition("/")[0] in parts
        }
        if leaves:
            found[domain] = paths.unflatten(rules.leaves(where, state, leaves))
    return cfg, found


def _states(path: Path) -> dict[str, dict[str, LazyTensor]]:
    """Domain -> its tensors, by their own names."""
    file = path / FILE if path.is_dir() else path
    if not file.exists() and all((path / name).is_file() for name in ALONE.values()):
        opened = {domain: tensors.open_tensors(path / name) for domain, name in ALONE.items()}
    elif file.is_file():
        opened = tensors.open_tensors(file)
    else:
        raise errors.CheckpointError(
            f"{path}: holds neither {FILE} nor {' and '.join(ALONE.values())}; give the file of "
            "both generators that sRGB-TIR released."
        )
    states = {
        domain: opened[domain]
        for domain in DOMAINS
        if isinstance(opened, dict) and isinstance(opened.get(domain), dict)
    }
    found = [*opened] if isinstance(opened, dict) else []
    if len(states) < len(DOMAINS) or len(found) > len(states):
        keys = lazy.some(repr(key)[:60] for key in found) or "none"
        raise errors.CheckpointError(
            f"{path}: expected two state dicts, {' and '.join(map(repr, DOMAINS))}, found {keys}; "
            f"give the {FILE} of sRGB-TIR."
        )
    return {
        domain: tensors.state_dict(state, f"{path}: {domain}") for domain, state in states.items()
    }


def named(params: Mapping[str, Any], cfg: MunitConfig) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of one generator's state dict: the inverse of `load`.

    Yields:
      (name, contiguous tensor); the buffers of AdaIN, which nothing reads and the original's strict
      loading wants, are as it makes them.
    """
    flat = paths.flatten(params)
    for name, tensor in rules.written(lambda path, layer: np.asarray(flat[path]), places(cfg)):
        yield name, tensor
        block = re.fullmatch(r"(dec\.model\.0\.model\.\d+\.model\.[01]\.)conv\.bias", name)
        if block:
            for buffer, value in zip(_NORMS, (0, 1), strict=True):
                yield block[1] + buffer, np.full(cfg.content_dim, value, np.float32)


def save(folder: Path, cfg: MunitConfig, params: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes a folder that `load` reads: the state dict of each generator by itself.

    Raises:
      CheckpointError: when the disk does not take it; what was there stays as it was.
    """
    with checkpoint.replacing(folder) as partial:
        for domain, name in ALONE.items():
            safetensors.numpy.save_file(dict(named(params[domain], cfg)), partial / name)

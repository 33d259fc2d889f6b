"""Bytes that a compiled program sends to other chips, by kind of collective.

Counted for one chip, from the text of its program. With n chips in a group, and x the bytes a chip
brings, a chip sends, and receives as much, under the algorithms that move the least (rings):

    all-gather          (n - 1) x          its part to each other chip
    reduce-scatter      (n - 1) / n x      each other chip's part of its sum
    all-reduce          2 (n - 1) / n x    a reduce-scatter and an all-gather
    all-to-all          (n - 1) / n x      all but its own part
    collective-permute  x                  to one other chip
"""

import collections
import math
import re

from lb_jax.training import hlo

SENT = {
    "all-gather": lambda n, x: (n - 1) * x,
    "reduce-scatter": lambda n, x: (n - 1) / n * x,
    "all-reduce": lambda n, x: 2 * (n - 1) / n * x,
    "all-to-all": lambda n, x: (n - 1) / n * x,
    "collective-permute": lambda n, x: x,
}


def sent(module: hlo.Module) -> dict[str, float]:
    """Bytes a chip sends in one call of the program, by kind; kinds that do not occur are left out.

    A TPU program runs a collective beside other work by repeating it in every fusion that it
    overlaps with. All carry one channel number; only the fusion that starts it counts.
    """
    channels = collections.defaultdict(list)
    runs = module.runs(through_fusions=True)
    for name, times in runs.items():
        computation = module.computations[name]
        starts = any('"AsyncCollectiveStart"' in one.attributes for one in computation.values())
        for one in computation.values():
            kind = one.opcode.removesuffix("-start")
            if kind in SENT:
                brought = sum(computation[operand].bytes for operand in one.operands)
                size = group_size(one.attributes, module.devices)
                channel = re.search(r"channel_id=(\d+)", one.attributes)
                key = (kind, channel[1] if channel else one.name)
                channels[key].append((starts, times * SENT[kind](size, brought)))
    totals = collections.defaultdict(float)
    for (kind, _), found in channels.items():
        starting = [amount for starts, amount in found if starts]
        totals[kind] += sum(starting or [amount for _, amount in found])
    return dict(totals)


def group_size(attributes: str, devices: int) -> int:
    """Chips that take part in one group of a collective, `n` above.

    The text has `replica_groups` as a list `{{0,1},{2,3}}`, as a grid `[groups,size]<=[...]`, or as
    axes of a mesh, `mesh['a'=4,'b'=2] {'a'}`, where a part of an axis is `'a':(before)size`.
    """
    if found := re.search(r"replica_groups=mesh\[(.*?)\]\s*\{(.*?)\}", attributes):
        sizes = {axis: int(size) for axis, size in re.findall(r"'([^']+)'=(\d+)", found[1])}
        parts = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", found[2])
        return math.prod(int(part) if part else sizes[axis] for axis, part in parts)
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", attributes):
        return int(found[1])
    if found := re.search(r"replica_groups=\{\{([\d,]*)\}", attributes):
        return found[1].count(",") + 1
    return devices

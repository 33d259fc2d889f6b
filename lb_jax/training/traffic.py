"""Bytes that a compiled program moves to and from a chip's main memory, estimated from its text.

Every instruction that runs reads its operands and writes its result once; what a fusion makes and
uses inside itself never leaves the chip. Loop bodies count as often as they run, which the
compiler's own "bytes accessed" does not. Where a slice is taken of an array, or put into one, only
the slice moves: scanned layers read their own part of the stacked parameters. Arrays that a TPU
program keeps in on-chip memory (its text says which) are not counted, nor is padding.
"""

import re

from lb_jax.training import hlo

# Do no work of their own: names for values, loops whose bodies are counted, second halves.
FREE = (
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "iota"),
    *("while", "conditional", "call", "partition-id", "replica-id", "optimization-barrier"),
)
FREE_CALLS = re.compile(r'"(AllocateBuffer|ConcatBitcast|AssumeGatherIndicesInBound)"')
SLICES = ("dynamic-slice", "slice", "gather")


def moved(module: hlo.Module) -> float:
    """Bytes read and written in one call of the program, for one chip."""
    return sum(
        times * sum(_instruction(module, module.computations[name], one) for one in body.values())
        for name, times in module.runs().items()
        for body in (module.computations[name],)
    )


def _instruction(module: hlo.Module, computation: hlo.Computation, one: hlo.Instruction) -> float:
    operands = [computation[name] for name in one.operands]
    if one.opcode in FREE or one.opcode.endswith(("-done", "-update")):
        return 0
    if one.opcode == "custom-call" and FREE_CALLS.search(one.attributes):
        return 0
    if one.opcode.endswith("-start"):  # of a copy: its result names where from and where to
        pair = [array for array in one.results if array.bytes][:2]
        size = min((array.bytes for array in pair), default=0)
        return size * sum(array.in_memory for array in pair)
    if one.opcode == "fusion":
        return _fusion(module, one, operands)
    if one.opcode in SLICES:
        return _main(one) * (1 + any(map(_lies_in_memory, operands[:1])))
    if one.opcode == "dynamic-update-slice":
        return operands[1].bytes * (_lies_in_memory(one) + _lies_in_memory(operands[1]))
    return _main(one) + sum(map(_main, operands))


def _fusion(module: hlo.Module, one: hlo.Instruction, operands: list[hlo.Instruction]) -> float:
    """What a fusion reads of its operands and writes of its results."""
    total = sum(
        _read(module, one, i) for i, operand in enumerate(operands) if _lies_in_memory(operand)
    )
    inner, parts = _parts(module, one)
    if len(parts) != len(one.results):
        return total + _main(one)
    return total + sum(
        _written(module, inner, part)
        for part, array in zip(parts, one.results, strict=True)
        if array.in_memory
    )


def _parts(
    module: hlo.Module, fusion: hlo.Instruction
) -> tuple[hlo.Computation, list[hlo.Instruction]]:
    """The computation of a fusion, and the instructions in it that make its results."""
    inner = module.computations[fusion.called("calls")[0]]
    root = next(one for one in inner.values() if one.root)
    return inner, [inner[name] for name in root.operands] if root.opcode == "tuple" else [root]


def _read(module: hlo.Module, fusion: hlo.Instruction, number: int) -> float:
    """Bytes that a fusion takes of an operand: its slices if nothing else is done with it."""
    inner = module.computations[fusion.called("calls")[0]]
    same = [
        next(
            one.name
            for one in inner.values()
            if one.opcode == "parameter" and one.attributes == str(number)
        )
    ]
    whole, total = inner[same[0]].bytes, 0.0
    for user in inner.values():  # in order: a value stands before its users
        for i, name in enumerate(user.operands):
            if name not in same:
                continue
            if user.opcode == "bitcast":
                same.append(user.name)
            elif user.opcode in SLICES and i == 0:
                total += user.bytes
            elif user.opcode == "fusion":
                total += _read(module, user, i)
            elif not (user.opcode == "tuple" or (user.opcode == "dynamic-update-slice" and i == 0)):
                return whole  # otherwise handed on, or written into where it lies
    return min(total, whole)


def _written(module: hlo.Module, inner: hlo.Computation, value: hlo.Instruction) -> float:
    """Bytes that a fusion writes of one result."""
    while value.opcode == "bitcast":
        value = inner[value.operands[0]]
    if value.opcode == "parameter":
        return 0  # handed on
    if value.opcode == "dynamic-update-slice":
        return inner[value.operands[1]].bytes
    if value.opcode == "fusion":
        inside, parts = _parts(module, value)
        return sum(_written(module, inside, part) for part in parts)
    return value.bytes


def _main(one: hlo.Instruction) -> float:
    return sum(array.bytes for array in one.results if array.in_memory)


def _lies_in_memory(one: hlo.Instruction) -> bool:
    return any(array.in_memory for array in one.results)

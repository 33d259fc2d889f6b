"""Reads the text of a compiled program (HLO) as far as counting needs it.

The text is one device's program: computations, each a list of instructions

    %name = dtype[dims]{layout} opcode(%operand, ...), attribute=..., ...

The entry computation runs once, the body of a `while` as often as the loop does.
"""

import collections
import dataclasses
import math
import re

# Bits of an element; what is not here (tokens, opaque) has no size.
BITS = {"pred": 8, "s4": 4, "u4": 4, "s2": 2, "u2": 2, "c64": 64, "c128": 128}
BITS |= {f"{kind}{bits}": bits for kind in "su" for bits in (8, 16, 32, 64)}
BITS |= {"bf16": 16, "f16": 16, "f32": 32, "f64": 64}

_INSTRUCTION = re.compile(r"\s*(ROOT )?%?([\w.-]+) = (.*)")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<=]*)\](\{[^}]*\})?")
_CALLED = re.compile(r"(?:calls|body|condition|to_apply|branch_computations)=(\{[^}]*\}|%?[\w.-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a result: its bytes, and whether they lie in the device's main memory."""

    bytes: float
    in_memory: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line.

    Attributes:
      name: unique in the program.
      opcode: what it does, such as `all-gather-start`.
      results: its arrays; several for a tuple.
      operands: names of instructions of the same computation.
      attributes: the rest of the line.
      root: whether it is the computation's result.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    attributes: str
    root: bool

    @property
    def bytes(self) -> float:
        """Size of the result."""
        return sum(one.bytes for one in self.results)

    def called(self, *keys: str) -> list[str]:
        """Computations named by these attributes, or by any."""
        found = []
        for match in _CALLED.finditer(self.attributes):
            if not keys or match[0].split("=")[0] in keys:
                found += re.findall(r"[\w.-]+", match[1].replace("%", ""))
        return found


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Module:
    """A program.

    Attributes:
      computations: name -> instructions in order; callees stand before callers.
      entry: name of the one that runs.
      devices: devices that run it together.
    """

    computations: dict[str, Computation]
    entry: str
    devices: int

    def runs(self, *, through_fusions: bool = False) -> dict[str, float]:
        """How often each computation runs in one call of the program.

        A branch counts as taken. What fusions call is part of one instruction and left out unless
        asked for; so are the scalar functions of reductions.
        """
        times: dict[str, float] = collections.defaultdict(float, {self.entry: 1.0})
        for name in reversed(self.computations):
            for one in self.computations[name].values() if times[name] else ():
                follow = one.opcode in ("while", "conditional", "call", "async-start")
                if not follow and not (through_fusions and one.opcode == "fusion"):
                    continue
                trips = self.trips(one) if one.opcode == "while" else 1
                for callee in one.called():
                    times[callee] += times[name] * trips
        return {name: count for name, count in times.items() if count}

    def trips(self, loop: Instruction) -> int:
        """How often a `while` runs its body; 1 where the text does not say.

        CPU and GPU programs say it in `known_trip_count`. TPU programs do not: there it is the
        constant that the condition compares the counter with, since JAX's scans count up from 0.
        """
        known = re.search(r'"?known_trip_count"?[:=]\s*\{"?n"?[:=]"?(\d+)', loop.attributes)
        if known:
            return int(known[1])
        (condition,) = loop.called("condition")
        limits = [
            int(one.attributes)
            for name in (condition, *self._inside(condition))
            for one in self.computations[name].values()
            if one.opcode == "constant" and one.attributes.isdecimal()
        ]
        return limits[0] if len(limits) == 1 else 1

    def _inside(self, name: str) -> list[str]:
        return [n for one in self.computations[name].values() for n in one.called("calls")]


def parse(text: str) -> Module:
    """Reads `jax.stages.Compiled.as_text()`."""
    head = text[: text.index("\n")]
    devices = math.prod(int(n) for n in re.findall(r"(?:num_partitions|replica_count)=(\d+)", head))
    computations, entry, current = {}, "", {}
    for line in text.split("\n"):
        line = re.sub(r"/\*.*?\*/", "", line)
        if line.endswith("{") and "->" in line and " = " not in line.split("->")[0]:
            name = line.removeprefix("ENTRY ").split(" ")[0].lstrip("%")
            current = computations[name] = {}
            entry = name if line.startswith("ENTRY ") else entry
        elif match := _INSTRUCTION.fullmatch(line):
            one = _instruction(match[2], match[3], root=bool(match[1]))
            current[one.name] = one
    return Module(computations, entry, devices)


def _instruction(name: str, text: str, *, root: bool) -> Instruction:
    end = _closing(text, 0) if text.startswith("(") else text.index(" ")
    shape, rest = text[:end], text[end:].lstrip()
    opcode, _, rest = rest.partition("(")
    end = _closing(f"({rest}", 0) - 1
    inside, attributes = rest[: end - 1], rest[end:].lstrip(", ")
    results = tuple(_array(*match) for match in _ARRAY.findall(shape))
    operands = tuple(re.findall(r"%([\w.-]+)", inside))
    if opcode in ("constant", "parameter"):
        attributes = inside  # its value, or its number
    return Instruction(name, opcode, results, operands, attributes, root)


def _array(dtype: str, dims: str, layout: str) -> Array:
    bits = 8 if dtype.startswith("f8") else BITS.get(dtype, 0)
    size = math.prod(int(n.removeprefix("<=")) for n in dims.split(",") if n)
    # TPU layouts name the memory space: none is HBM, S(1) on-chip memory, others hold semaphores
    return Array(size * bits / 8, in_memory="S(" not in layout)


def _closing(text: str, start: int) -> int:
    """Position after the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i + 1
    return len(text)

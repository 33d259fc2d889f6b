"""What a chip can do at most: memory, memory traffic, matrix products, traffic to other chips.

One row per chip. A roofline is these numbers and nothing else; no program reaches all of them.

Sources: TPU v4 arXiv 2304.01433 table 4; v5e, v5p, v6e and tpu7x the pages of these names in
cloud.google.com/tpu/docs, which give the interconnect as bits per second out of a chip (v5e
1600 Gb/s over 4 links); NVIDIA's data sheets of A100, H100 and H200 (dense products; NVLink's
figure is the sum of both directions). Memory of the TPUs is what libtpu 0.0.42 says is available
when a program is refused; the runtime keeps the rest.

A cloud's name of a slice, such as `v5litepod-16`, counts chips or TensorCores, as its row says.
"""

import dataclasses
import re

import jax

from lb_jax.core import errors

GB, GIB = 10**9, 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One row.

    Attributes:
      name: short name; for a TPU, what a topology such as `v5e:4x4` begins with.
      kinds: what JAX calls it (`jax.Device.device_kind`).
      memory: usable bytes of high-bandwidth memory.
      memory_bandwidth: bytes/s to and from that memory.
      flops: dense bfloat16 products and sums with float32 accumulation, per second.
      links: ways out to other chips; a TPU has two per torus axis, a GPU one into its switch.
      link_bandwidth: bytes/s out of the chip over one of them.
      topology: further arguments of `get_topology_desc`.
      cloud: what the names of its slices begin with in the cloud, besides `name`.
      counted: how many of what such a name counts make a chip: 2 where it counts TensorCores.
      axes: of its torus.
    """

    name: str
    kinds: tuple[str, ...]
    memory: float
    memory_bandwidth: float
    flops: float
    links: int
    link_bandwidth: float
    topology: dict[str, str] = dataclasses.field(default_factory=dict)
    cloud: tuple[str, ...] = ()
    counted: int = 1
    axes: int = 2

    def cloud_name(self, given: str) -> str:
        """What the name of a slice begins with, whole: `tpu7x` of `7x`, which lost its `tpu`."""
        return f"tpu{given}" if f"tpu{given}" == self.name else given


CHIPS = (
    # both cores of a v4 chip as one device, as `libtpu` runs it on Cloud TPU machines
    Chip(
        *("v4", ("TPU v4",), 30.75 * GIB, 1228 * GB, 275e12, 6, 50 * GB),
        topology={"chip_config_name": "megacore"},
        counted=2,
        axes=3,
    ),
    Chip(
        *("v5e", ("TPU v5 lite", "TPU v5e"), 15.75 * GIB, 819 * GB, 197e12, 4, 50 * GB),
        cloud=("v5litepod", "v5lite"),
    ),
    Chip(
        *("v5p", ("TPU v5", "TPU v5p"), 95.74 * GIB, 2765 * GB, 459e12, 6, 100 * GB),
        counted=2,
        axes=3,
    ),
    Chip("v6e", ("TPU v6 lite", "TPU v6e"), 31.25 * GIB, 1640 * GB, 918e12, 4, 100 * GB),
    # a device is one of a chip's two cores: half of what the page says of a chip
    Chip(
        *("tpu7x", ("TPU7x",), 94.75 * GIB, 3690 * GB, 1153.5e12, 6, 50 * GB),
        cloud=("v7x", "ironwood"),
        counted=2,
        axes=3,
    ),
    Chip("A100 40GB", ("NVIDIA A100-SXM4-40GB",), 40 * GIB, 1555 * GB, 312e12, 1, 300 * GB),
    Chip("A100 80GB", ("NVIDIA A100-SXM4-80GB",), 80 * GIB, 2039 * GB, 312e12, 1, 300 * GB),
    Chip("H100", ("NVIDIA H100 80GB HBM3",), 80 * GIB, 3350 * GB, 989e12, 1, 450 * GB),
    Chip("H200", ("NVIDIA H200",), 141 * GB, 4800 * GB, 989e12, 1, 450 * GB),
)
TPUS = {chip.name: chip for chip in CHIPS if chip.kinds[0].startswith("TPU")}


def of(device: jax.Device) -> Chip | None:
    """The row of a device, or None for one that is not in the table, such as a CPU."""
    return next((chip for chip in CHIPS if device.device_kind in chip.kinds), None)


# Chips of a slice -> how many on each axis, by the number of axes. Beyond a cube of 4x4x4 a slice
# of three axes is made of whole ones.
_SLICES = {
    2: {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"},
    3: {1: "1x1x1", 4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4"},
}
_CUBE, _MOST_CUBES = 64, 144  # 9216 chips, the largest pod of any of them
_CLOUD_NAME = re.compile(r"(?:tpu-?)?([a-z0-9]+?)[-:](\d+(?:x\d+)*)")


def topology(name: str) -> str:
    """A slice by its name in the cloud -> by its chips on each axis, as `get_topology_desc` has it.

    `v5litepod-16` -> `v5e:4x4`, `v5p-8` -> `v5p:2x2x1`, `tpu7x-2x2x1` -> `tpu7x:2x2x1`. What is no
    such name stays as it is.

    Raises:
      ConfigError: for a chip without a row here, or a number of chips that no slice has.
    """
    found = re.fullmatch(_CLOUD_NAME, name.lower())
    if found is None or found[1] == "cpu":
        return name
    chip = _named(name, found)
    if "x" in found[2] or ":" in name:
        return f"{chip.name}:{found[2]}"
    count, rest = divmod(int(found[2]), chip.counted)
    shape = None if rest else _shape(count, chip.axes)
    if shape is None:
        near = _nearest(chip.cloud_name(found[1]), int(found[2]), chip)
        raise errors.ConfigError(
            f"--topology {name!r}: no slice of {chip.name} has {found[2]} "
            f"{'TensorCores' if chip.counted > 1 else 'chips'}; the nearest are "
            f"{' and '.join(near)}, or give the chips on each "
            f"axis, such as {chip.name}:{_SLICES[chip.axes][16]}."
        )
    return f"{chip.name}:{shape}"


def unknown(name: str, kind: str) -> errors.ConfigError:
    """What to say of a topology whose chip has no row."""
    others = [*TPUS, *(other for chip in TPUS.values() for other in chip.cloud)]
    return errors.ConfigError(
        f"--topology {name!r}: no chip {kind!r}.{errors.nearest(kind, others)} Give a chip "
        f"({', '.join(TPUS)}) and how many on each axis, such as v5e:4x4 or v4:2x2x2; a slice by "
        "its name in the cloud, such as v5litepod-16 or v5p-8; cpu:8 for 8 virtual CPU devices; or "
        "attached for the devices of this machine."
    )


def _named(name: str, found: re.Match) -> Chip:
    for chip in TPUS.values():
        if chip.cloud_name(found[1]) in (chip.name, *chip.cloud):
            return chip
    raise unknown(name, found[1])


def _shape(count: int, axes: int) -> str | None:
    """Chips on each axis of a slice, the most cubic where several are made; None for no slice."""
    if count in _SLICES[axes] or axes == 2:
        return _SLICES[axes].get(count)
    cubes, rest = divmod(count, _CUBE)
    if rest or not 0 < cubes <= _MOST_CUBES:
        return None
    sides = [
        (a, b, cubes // (a * b))
        for a in range(1, cubes + 1)
        for b in range(a, cubes // a + 1)
        if cubes % (a * b) == 0 and cubes // (a * b) >= b
    ]
    best = min(sides, key=lambda one: one[2] - one[0])
    return "x".join(str(4 * side) for side in best)


def _nearest(kind: str, count: int, chip: Chip) -> list[str]:
    """The names of the next smaller and the next larger slice."""
    most = _CUBE * _MOST_CUBES if chip.axes == 3 else max(_SLICES[2])
    sizes = [chips * chip.counted for chips in range(1, most + 1) if _shape(chips, chip.axes)]
    below, above = ([n for n in sizes if n < count][-1:], [n for n in sizes if n > count][:1])
    return [f"{kind}-{n}" for n in (*below, *above)]

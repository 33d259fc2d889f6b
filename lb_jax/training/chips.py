"""What a chip can do at most: memory, memory traffic, matrix products, traffic to other chips.

One row per chip. A roofline is these numbers and nothing else; no program reaches all of them.

Sources: TPU v4 arXiv 2304.01433 table 4; v5e, v5p and v6e the pages "TPU v5e", "TPU v5p" and
"TPU v6e" of cloud.google.com/tpu/docs, which give the interconnect as bits per second out of a
chip (v5e 1600 Gb/s over 4 links); NVIDIA's data sheets of A100, H100 and H200 (dense products;
NVLink's figure is the sum of both directions). Memory of the TPUs is what libtpu 0.0.42 says is
available when a program is refused; the runtime keeps the rest.
"""

import dataclasses

import jax

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
    """

    name: str
    kinds: tuple[str, ...]
    memory: float
    memory_bandwidth: float
    flops: float
    links: int
    link_bandwidth: float
    topology: dict[str, str] = dataclasses.field(default_factory=dict)


CHIPS = (
    # both cores of a v4 chip as one device, as `libtpu` runs it on Cloud TPU machines
    Chip(
        *("v4", ("TPU v4",), 30.75 * GIB, 1228 * GB, 275e12, 6, 50 * GB),
        topology={"chip_config_name": "megacore"},
    ),
    Chip("v5e", ("TPU v5 lite", "TPU v5e"), 15.75 * GIB, 819 * GB, 197e12, 4, 50 * GB),
    Chip("v5p", ("TPU v5", "TPU v5p"), 95.74 * GIB, 2765 * GB, 459e12, 6, 100 * GB),
    Chip("v6e", ("TPU v6 lite", "TPU v6e"), 31.25 * GIB, 1640 * GB, 918e12, 4, 100 * GB),
    Chip("A100 40GB", ("NVIDIA A100-SXM4-40GB",), 40 * GIB, 1555 * GB, 312e12, 1, 300 * GB),
    Chip("A100 80GB", ("NVIDIA A100-SXM4-80GB",), 80 * GIB, 2039 * GB, 312e12, 1, 300 * GB),
    Chip("H100", ("NVIDIA H100 80GB HBM3",), 80 * GIB, 3350 * GB, 989e12, 1, 450 * GB),
    Chip("H200", ("NVIDIA H200",), 141 * GB, 4800 * GB, 989e12, 1, 450 * GB),
)
TPUS = {chip.name: chip for chip in CHIPS if chip.kinds[0].startswith("TPU")}


def of(device: jax.Device) -> Chip | None:
    """The row of a device, or None for one that is not in the table, such as a CPU."""
    return next((chip for chip in CHIPS if device.device_kind in chip.kinds), None)

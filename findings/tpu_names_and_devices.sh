#!/usr/bin/env bash
# Expected: a TPU slice of four chips is four devices in JAX; the number in its name in the cloud is
# that of its devices.
# What happens: 2x2x1 of v5p is four devices of two cores each and is named v5p-8; 2x2x1 of tpu7x is
# eight devices of one core each and is named tpu7x-8; four chips of v6e are four devices, v6e-4. So
# the number counts cores on some, chips on others, and devices are chips on some, cores on others.
# One chip alone (v5litepod-1, v6e-1) is refused by the compiler as a topology unless it is told that
# a host has one, although it is what the cloud lends.
# Why it matters: memory, FLOPs and links of "a device" are half of what the page of tpu7x says of a
# chip; a mesh planned from the number in the name is twice too large on v4 and v5p.
# Versions: libtpu 0.0.42.1, jax 0.10.2, Python 3.11, x86-64 Linux; no TPU is needed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 libtpu==0.0.42.1
JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 "$work/venv/bin/python" - <<'PY'
import jax
from importlib.metadata import version
from jax.experimental import topologies

print("jax", jax.__version__, "libtpu", version("libtpu"))
found = {}
for name in ("v5p:2x2x1", "tpu7x:2x2x1", "v6e:2x2"):
    devices = topologies.get_topology_desc(name, "tpu").devices
    found[name] = len(devices), devices[0].num_cores
    print(f"{name}: {found[name][0]} devices of {found[name][1]} cores, {devices[0].device_kind}")
assert found == {"v5p:2x2x1": (4, 2), "tpu7x:2x2x1": (8, 1), "v6e:2x2": (4, 1)}
try:
    topologies.get_topology_desc("v6e:1x1", "tpu")
except jax.errors.JaxRuntimeError as error:
    print("v6e:1x1:", str(error).splitlines()[0][:120])
else:
    raise SystemExit("v6e:1x1 is taken as it is")
alone = topologies.get_topology_desc("v6e:1x1", "tpu", chips_per_host_bounds=[1, 1, 1]).devices
assert len(alone) == 1
PY

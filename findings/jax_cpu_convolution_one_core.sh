#!/usr/bin/env bash
# JAX on CPU: a convolution of 64 output channels runs on one core, one of 128 on all of them.
#
# Expected: a window of 3x3 over 32 pictures of 28x28 is some thousand rows of products whatever its
# channels are, and all cores share them.
# What happens: with 64 output channels (1.8 GFLOP) one core works and the others wait, forward and in
# both gradients; with 128 of half the side, as many products, two cores work. jax 0.12.0.1 shares both.
# Versions: jax and jaxlib 0.10.2; 2 cores, AMD EPYC with AVX-512. Needs two cores with nothing else to do.
# Why it matters here: the first group of a ResNet-50 has such convolutions; on Python 3.11, which has
# no newer jax, a training step of TSM loses a twentieth by it.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat >"$dir/look.py" <<'PY'
import sys
import time

import jax
import jax.numpy as jnp


@jax.jit
def convolve(x, kernel):
    names = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)


def cores(side, channels):
    """CPU seconds per second: the cores at work."""
    x = jax.random.normal(jax.random.key(0), (32, side, side, channels))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, channels))
    jax.block_until_ready(convolve(x, kernel))
    found = []
    for _ in range(15):
        wall, used = time.perf_counter(), time.process_time()
        jax.block_until_ready(convolve(x, kernel))
        found.append((time.process_time() - used) / (time.perf_counter() - wall))
    return sorted(found)[7]


print("jax", jax.__version__, "on", jax.default_backend())
narrow, wide = cores(28, 64), cores(14, 128)
print(f"64 channels: {narrow:.2f} cores at work; 128 channels: {wide:.2f}")
sys.exit(not (narrow < 1.2 < 1.5 < wide))
PY
JAX_PLATFORMS=cpu "$dir/env/bin/python" "$dir/look.py"
echo "still so"

#!/usr/bin/env bash
# JAX on CPU: a convolution of planes costs three times as much where the array has a third axis.
#
# Expected: a window of 1x3x3 on [batch, time, height, width, channels] is the convolution of 3x3 on
# the same numbers as [batch * time, height, width, channels], the same products, and takes as long.
# What happens: the result is the same, and the CPU time three times as much, forward, and nearly four
# times in the gradient of the kernel. The same in jax 0.12.0.1.
# Versions: jax and jaxlib 0.10.2; 2 cores, AMD EPYC with AVX-512.
# Why it matters here: S3D separates its convolutions into such windows and windows along time;
# models/planes.py computes them as planes on CPU.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat >"$dir/look.py" <<'PY'
import sys
import time

import jax
import jax.numpy as jnp

x = jax.random.normal(jax.random.key(0), (4, 8, 28, 28, 64))
kernel = jax.random.normal(jax.random.key(1), (1, 3, 3, 64, 64))


def cubes(x, kernel):
    names = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=names)


def planes(x, kernel):
    names, flat = ("NHWC", "HWIO", "NHWC"), x.reshape(32, 28, 28, 64)
    made = jax.lax.conv_general_dilated(flat, kernel[0], (1, 1), "SAME", dimension_numbers=names)
    return made.reshape(x.shape)


def cpu_seconds(function):
    program = jax.jit(function)
    jax.block_until_ready(program(x, kernel))
    found = []
    for _ in range(9):
        start = time.process_time()
        jax.block_until_ready(program(x, kernel))
        found.append(time.process_time() - start)
    return min(found)


def gradient(convolve):
    return jax.grad(lambda x, kernel: jnp.square(convolve(x, kernel)).sum(), argnums=1)


print("jax", jax.__version__, "on", jax.default_backend())
same = bool(jnp.allclose(cubes(x, kernel), planes(x, kernel), rtol=1e-4, atol=1e-3))
print("same result:", same)
ratios = []
for name, made in (("forward", lambda one: one), ("gradient of the kernel", gradient)):
    three, two = cpu_seconds(made(cubes)), cpu_seconds(made(planes))
    ratios.append(three / two)
    print(f"{name}: {three:.4f} s of CPU with three axes, {two:.4f} s with two, {three / two:.1f} times")
sys.exit(not (same and min(ratios) > 1.7))
PY
JAX_PLATFORMS=cpu "$dir/env/bin/python" "$dir/look.py"
echo "still so"

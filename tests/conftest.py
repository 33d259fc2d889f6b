"""Eight virtual CPU devices, fixed before jax starts; no network."""

import os

os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # tests compile much and compute little
os.environ["HF_HUB_OFFLINE"] = "1"

"""LanguageBind for JAX: video, audio, depth, thermal and image bound to one frozen text tower.

    model = lb_jax.load("build/demo/checkpoint")
    video = model.embed("video", ["cat.mp4", "dog.mp4"])
    text = model.embed("text", ["a cat", "a dog barking"])
    model.similarity(video, text)  # cosine [n, m]

Embeddings are float32 numpy [n, e], of unit norm, deterministic.
"""

import importlib

# Public name -> module; imported on first use, so that `import lb_jax` and wrong command lines
# answer at once.
_PUBLIC = {
    "load": "lb_jax.inference.opening",
    "preprocess": "lb_jax.media.preprocess",
    "tokenize": "lb_jax.text.tokenizer",
    "LbJaxError": "lb_jax.core.errors",
}
__all__ = ["LbJaxError", "load", "preprocess", "tokenize"]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'lb_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])

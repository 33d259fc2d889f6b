"""Scores a model on held-out items: `metrics`, `benchmarks` and `reports`.

Everything here is numpy on embeddings; the model is only asked to embed, so any object with
`modalities`, `preprocess`, `encode` and `embed` can be scored. Behaviour of the originals:
`spec/languagebind.md` section 7.

May import `core`, `text`, `media` and `corpora`; never jax. Read first: `evaluate`.
"""

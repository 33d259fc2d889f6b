"""Scores a model on held-out items.

Zero-shot classification, retrieval both ways, emergent pairs, tables and a report.

Everything here is numpy on embeddings; the model is only asked to embed, so any object with
`modalities`, `preprocess`, `encode` and `embed` can be scored. Behaviour of the originals:
`spec/languagebind.md` section 7.
"""

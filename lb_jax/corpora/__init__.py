"""Rows of any corpus, whatever lies on disk: files by modality, captions, units, what is wrong.

May import `core`, `text` and `media`; never jax. Read first: `rows`, then `sources`.
"""

"""Weights in and out of other formats: one format, one family of weights per file.

May import `core`, `models` and `text`. Read first: `rules`, then `source`.
"""

"""Weights in and out of other formats: one format, one family of weights per file.

May import `core` and `models`. Read first: `rules`, then `source`.
"""

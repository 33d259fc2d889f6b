"""Towers as Flax NNX modules, used through pure nested dicts of parameters.

Axis letters in shape comments: b batch, t frames, n tokens, d width, h heads, e embedding, v
vocabulary, l layers, k negatives, p pixels of a patch.

May import `core`. Read first: `layers`, then `vision`.
"""

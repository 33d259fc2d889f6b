"""Bytes of people's files to arrays: each modality's decoding and preprocessing, by its spec.

`containers` has what a file says of its own length and parts, `pictures` formats of stills,
`sensors` those of depth and thermal cameras; `decoders` decodes in other processes.

May import `core` and `text`; never jax. Read first: `preprocess`, then `specs`.

Axis letters: b batch, t frames, h height, w width, s the square side of a spec, n samples or
tokens.
"""

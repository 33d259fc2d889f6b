"""Media and text to arrays: decoding, preprocessing, tokenisation, annotations, the input pipeline.

NumPy only, never jax.

Axis letters: b batch, t frames, h height, w width, s the square side of a spec, n samples or
tokens.
"""

"""Text to tokens: cleaning, CLIP byte pairs, sentences that fit a text tower, the spec of it all.

May import `core`; never jax. Read first: `tokenizer`.
"""

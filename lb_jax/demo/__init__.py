"""The demo corpus: scenes as real media files, captions, annotations, prompts.

May import `core`, `text`, `media` and `corpora`; never jax. Read first: `scene`, then `corpus`.
"""

"""What a training step reads: the grain pipeline over rows, and embeddings of captions, kept.

May import `core`, `text`, `media` and `corpora`. Read first: `pipeline`.
"""

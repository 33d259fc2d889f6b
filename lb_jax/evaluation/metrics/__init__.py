"""Figures from embeddings, labels and ranks: pure functions of arrays.

May import `core`. Read first: `scoring`, then `recall`.
"""

"""Losses as pure functions of arrays, each fast form beside the plain one it equals.

Imports nothing else of the package. Read first: `contrastive`, then `ring`.
"""

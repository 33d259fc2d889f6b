"""Losses as pure functions of arrays, each fast form beside the plain one it equals.

Imports nothing else of the package. Read first: `contrastive`, then `ring`; `fine_grained` for
items in parts, `captioning` for texts that are written.
"""

"""Foundations: modalities, path rules, configuration, checkpoints, logging, errors.

Imports nothing else of the package. Read first: `modalities`, then `paths`.
"""

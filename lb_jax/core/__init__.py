"""Foundations that import nothing else of the package.

Modalities, path rules, configuration, checkpoints, logging, errors.
"""

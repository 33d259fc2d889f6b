"""Foundations that import nothing else of the package: modalities, path rules, configuration,
checkpoints, logging, errors.
"""

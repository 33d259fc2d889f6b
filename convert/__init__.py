"""Weights in and out of other formats, one format per file."""

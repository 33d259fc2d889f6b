"""Trained models at work: load, embed, compare."""

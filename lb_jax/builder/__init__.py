"""Corpora from films: depth and infrared pictures of their frames, by networks of ours.

May import `inference` and what that may. Read first: `generators`, then `depth` and `infrared`.
"""

"""Formats of stills, and what they say of colour, depth of bits and orientation.

May import what `media` may. Read first: `png`.
"""

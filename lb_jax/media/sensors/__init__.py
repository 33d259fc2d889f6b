"""Files of depth and thermal cameras: their formats, units, temperatures.

May import what `media` may. Read first: `depth_files`, then `radiometric`.
"""

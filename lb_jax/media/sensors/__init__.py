"""Files of depth and thermal cameras and of motion: their formats, units, temperatures, clocks.

May import what `media` may. Read first: `depth_files`, then `radiometric`, `motion_files`.
"""

"""What files of video and sound promise of themselves: sizes, joined pieces, unfilled headers.

May import what `media` may. Read first: `formats`, the table; each format has a file.
"""

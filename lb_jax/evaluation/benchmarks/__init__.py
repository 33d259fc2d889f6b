"""The published data sets: their table, layouts on disk, prompts, protocols, printed figures.

May import `evaluation.metrics` and what `evaluation` may. Read first: `table`, then `suite`.
"""

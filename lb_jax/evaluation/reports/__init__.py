"""What a person reads of an evaluation: pages, tables, figures, two runs side by side.

May import `evaluation` and what that may. Read first: `corpus`.
"""

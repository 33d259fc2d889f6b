"""A loaded model at work: embed, compare, probabilities, windows of long files, golden vectors.

May import `training`, `evaluation`, its reports apart, and what those may. Read first: `api`.
"""

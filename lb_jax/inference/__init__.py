"""A loaded model at work: embed, compare, probabilities, windows of long files, golden vectors.

May import all but `search`, `serve`, `demo` and `cli`. Read first: `api`.
"""

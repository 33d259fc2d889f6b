"""Own media by meaning: stores of vectors, embedding in bulk, queries, upgrades, the doctor.

May import `inference` and what that may. Read first: `store`, then `query`.
"""

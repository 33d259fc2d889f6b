"""Lab sheets: one runnable recipe per file.

Each has a `get_config()` that returns an `ml_collections.ConfigDict`.
"""

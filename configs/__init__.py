"""Lab sheets: one runnable recipe per file, on one screen.

Each has a `get_config()` that returns an `ml_collections.ConfigDict`.

May import `models` and `training`, for their settings. Read first: `depth`.
"""

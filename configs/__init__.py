"""Lab sheets: one runnable recipe per file, each with a `get_config()` that returns an
`ml_collections.ConfigDict`.
"""

"""Own media by meaning: stores of vectors, embedding in bulk, queries, upgrades, the doctor.

May import `inference` and what that may. Read first: `store`, then `query` and `bulk`. A store is
a `database` of tables of `vectors`, each by one `maker`, of `rows`; `work` fills it.
Captions of files are rows of a JSONL file, `caption_rows`, which `bulk_captions` fills likewise.
"""

"""Language-centred corpora: raw films with titles in, filtered and laid out, training shards out.

Stages are plain functions that a table names (`stages`), their thresholds fields of one sheet
(`sheet`). An engine runs them over a source, a `store` keeps what each said of each item, `out`
writes what is kept.

May import what `inference` may, `inference` itself and the pages of `evaluation.reports`.
Read first: `stage`, `stages`, `engine.local`; for texts `texts`; for depth and infrared pictures
`generators`, `depth`, `infrared`.
"""

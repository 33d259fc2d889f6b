"""Collection: what may be had of films and sounds, found and fetched into a source of `corpus run`.

`driver` does it; where things come from is a row of `sources.KINDS` with one small interface,
`candidates.Origin`.
"""

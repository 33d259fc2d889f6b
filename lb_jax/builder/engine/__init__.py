"""Engines: the same stages over the same items, in processes of this machine or on Ray.

An engine is `driver.drive` with a pool that looks at films. May import what the room may.
Read first: `driver`, then `local`.
"""

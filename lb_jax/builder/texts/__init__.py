"""Texts in many views of an item, as stages: captions by models, and their enhancement.

They refuse nothing for style; they write columns, which `views` names. `writing` is what all that
caption have in common, `polish_mplug` asks a language model. May import what the room may.
Read first: `captioning`, `writing`, then `chat`.
"""

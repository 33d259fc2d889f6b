"""The training run: recipe, mesh and shardings, optimiser, step, states on disk, loop, plans.

May import `evaluation.metrics` and all that stands below the training: `core` to `convert`.
Read first: `recipe`, then `step` and `loop`.
"""

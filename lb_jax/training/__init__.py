"""The training run: recipe, mesh and shardings, optimiser, step, states on disk, loop, plans.

May import `evaluation.metrics` and all that stands below the training: `core` to `convert`.
Read first: `families` and `recipe`, then `step` and `loop`; of VALOR `valor`, then `grouping`;
of MMV `mmv`, then `mmv_loss`.
"""

"""The training run: mesh, shardings, optimiser, step, checkpoints, loop."""

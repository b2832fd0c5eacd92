"""Recipe, optimizers, schedules, early stopping, the loop, checkpoints, the run directory."""

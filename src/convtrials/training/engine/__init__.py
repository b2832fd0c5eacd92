"""The training of one run: loop, checkpoints, execution."""

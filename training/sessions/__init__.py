"""Whole trainings, from a plan to files in a folder, with checkpoints on the way."""

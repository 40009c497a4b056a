"""Sweeps: the choice of the next settings, and the results of earlier ones."""

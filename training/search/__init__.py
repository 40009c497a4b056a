"""Sweeps: which settings to try next, and what came of those that were."""

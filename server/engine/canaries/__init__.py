"""Canaries in the engine: counts of their answers, comparisons in the shadow, and their bounds."""

"""Baselines that prefixes are compared with."""

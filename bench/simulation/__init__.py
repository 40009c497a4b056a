"""Simulation: a discrete-event model of a router and replicas, for sizes that no machine here has.

docs/capacity-planning.md describes the model, its limits and its results.
"""

"""Chaos: faults are injected while servers answer requests, and every answer is checked.

`make soak MINUTES=30` runs it for longer than the test does.
"""

"""Heads on the frozen backbone, computed in seconds from the names of labels and a few rows."""

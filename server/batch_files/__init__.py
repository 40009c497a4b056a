"""Batch files: rows of any tasks that the server answers at low priority, into a file."""

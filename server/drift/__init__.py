"""Drift: how the texts and answers of a version differ from the rows it was validated on."""

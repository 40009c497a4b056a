"""The commands `train`, `evaluate` and `predict`, and the flags of the original."""

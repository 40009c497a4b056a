"""How prefixes learn: one loop, in whose batches many runs share one frozen backbone."""

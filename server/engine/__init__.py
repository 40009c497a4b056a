"""The serving path: admit, queue, plan, run, reply."""

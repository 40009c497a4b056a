"""Training jobs of tenants: queued in the database, each run by a separate worker process."""

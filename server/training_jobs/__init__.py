"""Trainings that tenants ask for: queued in the database, each run by a process of its own."""

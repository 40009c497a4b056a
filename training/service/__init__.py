"""Trainings that a server starts: what it may offer, and the process of one."""

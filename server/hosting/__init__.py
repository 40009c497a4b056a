"""Hosting: what makes the application a process that listens, drains and stops."""

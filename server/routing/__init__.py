"""Routing: which replica of the engine answers a request. Imports nothing outside Python."""

"""Observability: the metrics and the logs of a server."""

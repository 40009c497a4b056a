"""Observability: the metrics, the logs and the traces of a server."""

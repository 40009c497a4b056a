"""Limits on the rate of requests and tokens, and on the texts in flight, of tenants and keys."""

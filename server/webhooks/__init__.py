"""Webhooks: delivers events of the database to the endpoints of tenants."""

"""How tenants reach their prefixes: the REST server."""

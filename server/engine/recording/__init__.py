"""Recording: keeps answers of tenants that opt in, and writes them away from requests."""

"""Usage: counts what tenants use, in memory, and writes it to the database in batches."""

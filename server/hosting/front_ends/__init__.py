"""Front ends: processes that speak HTTP for the engine. See docs/architecture.md."""

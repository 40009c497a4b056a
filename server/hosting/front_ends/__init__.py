"""HTTP in processes of its own, beside the engine's; see docs/architecture.md."""

"""The synchronous client. Generated from `_async` by `generate_sync.py`, except concurrency.py."""

"""The web console: one page at `/console`, its files, and signing in."""

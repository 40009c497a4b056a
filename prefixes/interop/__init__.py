"""Prefixes of other programs: imported from their files, and exported where they can express it."""

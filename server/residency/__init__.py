"""Residency: which prefixes are on the device and in host memory, and for how long."""

"""The engine: admits requests, resolves their prefixes, tokenizes, and awaits the device."""

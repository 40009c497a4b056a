"""The command `polyprefix`: commands, flags, exit codes, and what they print."""

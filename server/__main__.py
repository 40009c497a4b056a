"""Runs the command `polyprefix` as `python -m server`."""

from server.command_line.main import main

if __name__ == "__main__":
    main()

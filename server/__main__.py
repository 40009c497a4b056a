"""`python -m server` is the command `polyprefix`."""

from server.command_line.main import main

if __name__ == "__main__":
    main()

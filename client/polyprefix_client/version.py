"""The version of the client, which is that of the server it was released with."""

from typing import Final

__version__: Final = "0.1.0"

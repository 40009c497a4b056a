"""Settings: the choices of the operator. Only this package reads the environment."""

from server.settings.errors import InvalidSettings, variable_of
from server.settings.settings import Settings

__all__ = ["InvalidSettings", "Settings", "variable_of"]

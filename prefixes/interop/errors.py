"""ConversionRefused: the error of imports and exports."""


class ConversionRefused(Exception):
    """A foreign folder or a prefix that cannot be converted; the message gives the reason."""

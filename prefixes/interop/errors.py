"""The one way in which an import or an export fails."""


class ConversionRefused(Exception):
    """What is in a foreign folder, or asked for, cannot be converted. The message is a sentence."""

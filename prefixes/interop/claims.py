"""Consistency of a foreign configuration with its tensors and the backbone."""

from collections.abc import Mapping

from prefixes.interop.errors import ConversionRefused


def check_claims(file: str, config: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Compare those of the given fields that a configuration has with the actual values.

    Args:
        file: name of the configuration file.
        config: content of the file.
        found: actual values by field, from the tensors or the backbone.

    Raises:
        ConversionRefused: naming every field that differs.
    """
    differing = [
        f"{name} is {str(config[name])[:60]!r}, found {str(value)!r}"
        for name, value in found.items()
        if config.get(name) is not None and not _is_same(config[name], value)
    ]
    if differing:
        raise ConversionRefused(
            f"{file} contradicts the tensors or the backbone: {'; '.join(differing)}. Use the "
            "configuration that was saved with these tensors, and the backbone that was trained on."
        )


def _is_same(claimed: object, found: object) -> bool:
    return type(claimed) is type(found) and claimed == found

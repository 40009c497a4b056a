"""Claims: what a configuration says of its tensors, held against the tensors themselves."""

from collections.abc import Mapping

from prefixes.interop.errors import ConversionRefused


def check_claims(file: str, config: Mapping[str, object], found: Mapping[str, object]) -> None:
    """Compare the fields of a configuration, where it has them, with what was found.

    Args:
        file: the configuration's name.
        config: its content.
        found: by field, what the tensors or the backbone have.

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
            "configuration that was saved with these tensors, and the backbone of the training."
        )


def _is_same(claimed: object, found: object) -> bool:
    return type(claimed) is type(found) and claimed == found

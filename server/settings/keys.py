"""Checks of settings that are API keys."""

from pydantic import SecretStr

from prefixes.registry.key_rows import parse_key


def check_operator_key(key: SecretStr | None) -> SecretStr | None:
    """Return the key if it has the form of an API key, else raise ValueError."""
    if key is not None and parse_key(key.get_secret_value()) is None:
        raise ValueError(
            "the value is not an API key. Make one with `polyprefix key generate`, or leave the "
            "setting unset."
        )
    return key

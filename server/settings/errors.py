"""Errors of settings: unknown variables and invalid values, described for the operator."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

ENV_PREFIX: Final = "POLYPREFIX_"
_CLIENT_VARIABLES: Final = frozenset({"key", "url"})
"""Variables of the commands that call a server. They are not settings, and not mistakes."""

SECRETS: Final = frozenset({
    "database_url", "feedback_keys", "metrics_key", "operator_key", "tls_key_password",
})  # fmt: skip
"""Settings whose values no message shows."""


class InvalidSettings(ValueError):
    """A setting is unknown or its value is invalid. The message names each and its variable."""


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str], settings: AbstractSet[str]) -> Iterator[str]:
    """Describe each variable with our prefix that does not belong to a setting."""
    for variable in sorted(environment):
        name = variable[len(ENV_PREFIX) :].lower()
        is_ours = variable.upper().startswith(ENV_PREFIX)
        if is_ours and name not in settings and name not in _CLIENT_VARIABLES:
            yield f"{variable} is not a setting of this version. Remove it or correct its name."


def invalid_values(error: ValidationError) -> Iterator[str]:
    """Describe each value that pydantic rejected."""
    return map(_described, error.errors())


def _described(detail: ErrorDetails) -> str:
    reason = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:  # a rule between settings, whose message names them
        return reason
    name = str(detail["loc"][0])
    setting = f"{name} ({variable_of(name)})"
    if detail["type"] == "extra_forbidden":
        return f"{setting} is not a setting of this version. Correct its name."
    if detail["type"] == "value_error":  # one of our checks, whose message says what was found
        return f"{setting}: {reason.rstrip('.')}."
    reason = reason.replace("Input should", "must", 1)
    if name in SECRETS:
        return f"{setting}: {reason}. Correct the value."
    return f"{setting}: {reason}; found {str(detail['input'])!r}. Correct the value."

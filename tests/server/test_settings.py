from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import InvalidSettings, Settings, variable_of
from server.settings.errors import SECRETS


def test_a_flag_takes_precedence_over_a_variable_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.load().port == 8000
    monkeypatch.setenv("POLYPREFIX_PORT", "9001")
    assert Settings.load(port=None).port == 9001
    assert Settings.load(port=9002).port == 9002


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPREFIX_DEFAULT_MODEL", "")
    assert Settings.load().default_model is None


def test_an_unknown_variable_is_rejected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPREFIX_PROT", "9001")
    with pytest.raises(InvalidSettings, match="POLYPREFIX_PROT"):
        Settings.load()


def test_the_key_of_client_commands_is_not_an_unknown_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYPREFIX_KEY", "pp_x")
    assert Settings.load().port == 8000


def test_an_unknown_flag_is_rejected() -> None:
    with pytest.raises(InvalidSettings, match="prot"):
        Settings.load(prot=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70_000),
        ("port", "http"),
        ("dtype", "int8"),
        ("quantize", "int4"),
        ("max_batch_tokens", 0),
        ("target_latency_ms", 0),
        ("target_latency_ms", "nan"),
        ("max_upload_mib", 1000),
        ("request_timeout_seconds", 0),
        ("drain_seconds", -1),
        ("host_mib", -1),
        ("pinned", "acme/spam,/tone"),
        ("num_threads", 0),
        ("examples_folder", Path("/no/such/folder")),
    ],
)
def test_an_invalid_value_is_rejected_naming_setting_and_variable(name: str, value: object) -> None:
    with pytest.raises(InvalidSettings, match=f"{name}.*{variable_of(name)}"):
        Settings.load(**{name: value})


def test_a_problem_says_what_was_found_what_is_expected_and_what_to_do() -> None:
    with pytest.raises(InvalidSettings) as raised:
        Settings.load(port=70_000, cors_origins="https://x/", pinned="/tone")
    text = str(raised.value)
    for sentence in (
        "port (POLYPREFIX_PORT): must be less than or equal to 65535; found '70000'. Correct",
        "cors_origins (POLYPREFIX_CORS_ORIGINS): 'https://x/' is not a valid origin. Write",
        "pinned (POLYPREFIX_PINNED): ",
    ):
        assert sentence in text


def test_a_problem_never_shows_the_value_of_a_secret() -> None:
    for name in SECRETS:
        with pytest.raises(InvalidSettings) as raised:
            Settings.load(**{name: ["pp_secret"]})
        assert name in str(raised.value)
        assert "pp_secret" not in str(raised.value)


def test_every_setting_that_repr_hides_is_a_secret() -> None:
    hidden = {
        name
        for name, field in Settings.model_fields.items()
        if not field.repr or "Secret" in str(field.annotation)
    }
    assert hidden == SECRETS


def test_a_request_limit_beyond_the_in_flight_limit_is_rejected() -> None:
    with pytest.raises(InvalidSettings, match="never be admitted"):
        Settings.load(max_waiting_inputs=10, max_inputs_per_request=11)


def test_pinned_prefixes_are_references_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.load().pinned_refs == ()
    monkeypatch.setenv("POLYPREFIX_PINNED", "acme/spam, acme/tone:next,shop/topic@3,")
    expected = ("acme/spam:live", "acme/tone:next", "shop/topic@3")
    assert tuple(str(ref) for ref in Settings.load().pinned_refs) == expected


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings.load().port = 1  # type: ignore[misc]


def test_a_database_password_is_not_shown() -> None:
    settings = Settings.load(database_url="postgresql://me:hush@db/x")
    assert "hush" not in repr(settings)

import logging
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from prefixes.registry import BucketSettings
from server.command_line.exit_codes import ExitCode
from server.feedback import sealing
from server.settings import InvalidSettings, Settings, variable_of
from server.settings.errors import SECRETS
from tests.server.command_line.caller import call
from tests.server.command_line.walk import commands

WITHOUT_CREDENTIALS = {"store_url", "store_endpoint_url"}
"""URLs that are rejected with a user or a password in them."""

SECRET_VALUES = {
    "database_url": "postgresql://me:hush@db/x",
    "feedback_keys": "a" * 43 + "=",
    "metrics_key": "a-metrics-key",
    "operator_key": "pp_0123456789ab_" + "c" * 43,
    "tls_key_password": "a-password",
}


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
        ("ray_backbones", "/models/xlm-roberta=0"),
        ("ray_backbones", "/models/xlm-roberta=two"),
        ("ray_backbones", "=2"),
        ("ray_backbones", "other,other=2"),
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


def test_every_secret_has_a_type_that_does_not_print_itself() -> None:
    hidden = {
        name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    assert hidden == SECRETS


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in Settings.model_fields
        if re.search("password|secret|url$|(?<!tls)_key$", name) and name not in WITHOUT_CREDENTIALS
    ],
)
def test_a_setting_that_sounds_like_a_secret_is_one(name: str) -> None:
    assert name in SECRETS


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("s3://me:hush@bucket", None),
        ("s3://bucket/prefix?secret=hush", None),
        ("s3://bucket", "https://me:hush@storage.example.org"),
    ],
)
def test_a_url_of_a_bucket_has_no_credentials(url: str, endpoint: str | None) -> None:
    with pytest.raises(InvalidSettings, match="is not the URL of") as raised:
        Settings.load(store_url=url, store_endpoint_url=endpoint)
    assert "hush" not in str(raised.value)


def test_a_bucket_is_reached_over_https_unless_plain_http_is_allowed() -> None:
    given = {"store_url": "s3://bucket/a/b", "store_endpoint_url": "http://127.0.0.1:9000"}
    with pytest.raises(
        InvalidSettings, match=r"is not encrypted.*POLYPREFIX_STORE_ALLOW_HTTP=true"
    ):
        Settings.load(**given)
    settings = Settings.load(**given, store_allow_http=True, store_cache_mib=100)
    assert settings.bucket == BucketSettings(
        "bucket", "a/b", "http://127.0.0.1:9000", None, allow_http=True, cache_bytes=100 * 2**20
    )
    assert Settings.load().bucket is None


@pytest.mark.parametrize("url", ["bucket", "https://bucket", "s3://", "s3://b", "s3://one/../x"])
def test_what_is_not_the_url_of_a_bucket_is_rejected(url: str) -> None:
    with pytest.raises(InvalidSettings, match=r"\(POLYPREFIX_STORE_URL\): is not the URL"):
        Settings.load(store_url=url)


def test_settings_of_a_bucket_without_a_bucket_are_rejected() -> None:
    with pytest.raises(InvalidSettings, match="store_region has a value, but store_url has none"):
        Settings.load(store_region="eu-central-1")


def test_no_form_of_the_settings_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "find_spec", lambda name: name)  # the package is optional
    secrets = {name: SECRET_VALUES[name] for name in SECRETS}
    settings = Settings.load(**secrets, tls_certificate=__file__)
    shown = (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()))
    for text in (*shown, logging.Formatter().format(log_record(settings))):
        assert not any(value in text for value in SECRET_VALUES.values())


def test_no_secret_is_a_flag_or_has_a_default() -> None:
    """A flag would be visible in the list of processes, and a default in `--help`."""
    flags = {one.name for one in dict(commands())["polyprefix serve"].params}
    assert not flags & SECRETS
    assert {Settings.model_fields[name].default for name in SECRETS} == {None}


def log_record(value: object) -> logging.LogRecord:
    """A log record with a value in its message and in its traceback."""
    error = RuntimeError(value)
    raised = (RuntimeError, error, None)
    return logging.LogRecord("test", logging.ERROR, __file__, 1, "%s", (value,), raised)


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


def test_backbones_of_ray_may_have_a_number_of_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().ray_backbone_list == ()
    monkeypatch.setenv("POLYPREFIX_RAY_BACKBONES", "/models/xlm-roberta = 2, org/model,")
    assert Settings.load().ray_backbone_list == (("/models/xlm-roberta", 2), ("org/model", None))


def test_each_backbone_is_served_once() -> None:
    with pytest.raises(InvalidSettings, match="ray_backbones lists 'minilm'"):
        Settings.load(ray_backbones="minilm=2")


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings.load().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush@192.0.2.1:1/x",
        "postgresql+nothing://me:hush@db/x",
        "postgresql://me:hush@db:port/x",
        "me:hush@db",
        "sqlite://me:hush@db/x",
    ],
)
def test_an_error_of_the_database_does_not_show_its_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)
    outcome = call("serve", "--port", 0, "--store-folder", tmp_path / "store")
    assert outcome.code == ExitCode.FAILURE
    assert "database" in outcome.error
    assert "hush" not in outcome.error + outcome.output
    assert not Path("x").exists(), "a file in place of a database server"

"""Settings and secrets of the chart: the server accepts them, and the chart rejects mistakes."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from server.settings import Settings, variable_of
from server.settings.errors import SECRETS
from tests.helm.charts import (
    CHART,
    FOLDER,
    helm,
    merged,
    notes,
    of_kind,
    pod_templates,
    render,
    the,
)
from tests.helm.value_sets import DATABASE, REPLICATED, VALUE_SETS

VARIABLES: Final = {variable_of(name): name for name in Settings.model_fields}
TEMPLATES: Final = {path.name: path.read_text() for path in CHART.glob("templates/**/*.*")}


def environment_of(values: Any) -> dict[str, str]:
    """The variables of the server's container. Values of other Secrets are unknown: left out."""
    manifests = render(values)
    found: dict[str, str] = {}
    pods = pod_templates(manifests)
    (container,) = pods["server" if "server" in pods else "workers"]["spec"]["containers"]
    for source in container["envFrom"]:
        kind, reference = next(iter(source.items()))
        for one in of_kind(manifests, {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind]):
            if one["metadata"]["name"] == reference["name"]:
                found |= one.get("data", {}) | one.get("stringData", {})
    for one in container["env"]:
        if "resourceFieldRef" in one.get("valueFrom", {}):
            assert one["valueFrom"]["resourceFieldRef"] == {"resource": "limits.cpu"}
            found[one["name"]] = str(container["resources"]["limits"]["cpu"])
        elif "value" in one:
            found[one["name"]] = one["value"]
    return found


def loaded(values: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a server with the variables of its container."""
    for name, value in environment_of(values).items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if name != "tls"])
def test_the_server_accepts_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(VALUE_SETS[name], monkeypatch)
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert settings.store_folder == Path("/var/lib/polyprefix")


def test_the_server_accepts_the_files_of_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment_of(VALUE_SETS["tls"])
    mounted = [variables["POLYPREFIX_TLS_CERTIFICATE"], variables["POLYPREFIX_TLS_KEY"]]
    assert mounted == ["/etc/polyprefix/tls/tls.crt", "/etc/polyprefix/tls/tls.key"]
    assert "mountPath: /etc/polyprefix/tls," in TEMPLATES["_pod.tpl"]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("POLYPREFIX_MAX_BATCH_FILE_ROWS", 20_000_000, 20_000_000),
        ("POLYPREFIX_DRAIN_SECONDS", 2.5, 2.5),
        ("POLYPREFIX_TRACING", False, False),
        ("POLYPREFIX_PINNED", "acme/spam,acme/tone", "acme/spam,acme/tone"),
        ("POLYPREFIX_QUANTIZE", "", None),
        ("POLYPREFIX_NUM_THREADS", 3, 3),
        ("POLYPREFIX_NUM_THREADS", None, 2),  # that of the limit
        ("POLYPREFIX_PORT", 9000, 9000),
    ],
)
def test_a_value_reaches_the_server_as_it_is(
    variable: str, value: object, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded({"settings": {variable: value}}, monkeypatch)
    assert getattr(settings, VARIABLES[variable]) == expected


def test_the_port_is_that_of_the_container() -> None:
    pods = pod_templates(render({"settings": {"POLYPREFIX_PORT": 9000}}))
    (port,) = pods["server"]["spec"]["containers"][0]["ports"]
    assert port == {"name": "http", "containerPort": 9000}


def test_the_chart_names_only_settings_that_exist() -> None:
    files = [*CHART.glob("templates/**/*.*"), *FOLDER.glob("*.yaml"), CHART / "values.yaml"]
    named = {name for path in files for name in re.findall(r"POLYPREFIX_[A-Z_]+", path.read_text())}
    assert named <= set(VARIABLES)
    assert len(named) > 15


def test_defaults_in_templates_are_those_of_the_server() -> None:
    found = re.findall(r'"(POLYPREFIX_\w+)" (\d+)\)', "".join(TEMPLATES.values()))
    assert len(found) >= 5
    for variable, default in found:
        assert Settings.model_fields[VARIABLES[variable]].default == int(default), variable


def test_the_chart_knows_which_settings_are_secrets() -> None:
    (text,) = re.findall(
        r'secretVariables" -}}\n(.*?)\n{{- end', TEMPLATES["_checks.tpl"], re.DOTALL
    )
    ours = {name for name in text.split() if name.startswith("POLYPREFIX_")}
    assert ours == {variable_of(name) for name in SECRETS}


@pytest.mark.parametrize("variable", [*map(variable_of, sorted(SECRETS)), "AWS_SECRET_ACCESS_KEY"])
def test_a_secret_among_the_settings_is_rejected(variable: str) -> None:
    with pytest.raises(helm.HelmError, match=rf"settings\.{variable} is a secret"):
        render({"settings": {variable: "secret"}})


def test_secrets_are_in_a_secret_and_nowhere_else() -> None:
    manifests = render(REPLICATED)
    assert the(manifests, "Secret")["stringData"] == {"POLYPREFIX_DATABASE_URL": DATABASE}
    others = [one for one in manifests if one["kind"] != "Secret"]
    assert DATABASE not in str(others)
    assert of_kind(render(VALUE_SETS["production"]), "Secret") == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "replicated"}, "no database is shared"),
        (merged(REPLICATED, {"settings": {"POLYPREFIX_STORE_URL": None}}), "no store is shared"),
        (
            merged(VALUE_SETS["production"], {"settings": {"POLYPREFIX_STORE_URL": ""}}),
            "no store is shared",
        ),
        ({"autoscaling": {"kind": "hpa"}}, "mode is single"),
        (
            merged(
                REPLICATED,
                {"autoscaling": {"kind": "keda", "cpuPercent": None, "waitingInputs": None}},
            ),
            "neither cpuPercent nor waitingInputs",
        ),
        ({"ingress": {"enabled": True}}, "ingress.hosts is empty"),
        ({"gateway": {"enabled": True}}, "gateway.parentRefs is empty"),
        ({"settings": {"POLYPREFIX_STORE_FOLDER": "/data"}}, "set by the chart"),
        ({"settings": {"RESIDENT_MIB": 1}}, "RESIDENT_MIB"),
        ({"settings": {"POLYPREFIX_PINNED": ["acme/spam"]}}, "POLYPREFIX_PINNED"),
        ({"mode": "several"}, "mode"),
        ({"replica": 3}, "replica"),
        ({"persistence": {"size": "a lot"}}, "size"),
        ({"secrets": {"create": {"database-url": "x"}}}, "database-url"),
    ],
)
def test_values_that_do_not_fit_are_rejected(values: Any, message: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(message)):
        render(values)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "cat operator-key"),
        ({"persistence": {"enabled": False}}, "are lost with the pod"),
        (REPLICATED, "There is no POLYPREFIX_OPERATOR_KEY"),
        (REPLICATED, "Prefer a Secret of your own"),
    ],
)
def test_the_notes_warn_of_what_is_missing(values: Any, shown: str) -> None:
    assert shown in notes(values)
    assert shown not in notes(VALUE_SETS["production"])

"""The network of servers: open ports, reachable addresses, routes, metrics."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from server.settings import Settings
from tests.helm.charts import merged, of_kind, render, the
from tests.helm.value_sets import PRODUCTION, REPLICATED, VALUE_SETS


def policy(values: Any) -> Any:
    return the(render(values), "NetworkPolicy")["spec"]


def test_only_the_http_port_is_open() -> None:
    spec = policy({})
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]


def test_peers_and_the_test_of_the_release_may_connect() -> None:
    (rule,) = policy(PRODUCTION)["ingress"]
    peers = [next(iter(peer.values()))["matchLabels"] for peer in rule["from"]]
    assert peers[:2] == PRODUCTION["networkPolicy"]["ingressFrom"] or len(peers) == 3
    assert the(render(PRODUCTION), "Pod")["metadata"]["labels"] == peers[-1]


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.215.14", True),
        ("10.0.0.7", False),
        ("192.168.1.1", False),
        ("172.20.0.1", False),
        ("169.254.169.254", False),  # credentials of the node
        ("2606:4700::1111", True),
        ("fd00::1", False),
        ("fe80::1", False),
    ],
)
def test_servers_reach_public_addresses_only(address: str, *, is_allowed: bool) -> None:
    rules = policy({})["egress"]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule.get("to", ())]
    allowed = any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(one) for one in block.get("except", ()))
        for block in blocks
    )
    assert allowed == is_allowed


def test_public_addresses_can_be_closed_and_others_opened() -> None:
    rule = {"ports": [{"port": 5432, "protocol": "TCP"}]}
    values = {"networkPolicy": {"egress": {"publicHttps": False, "rules": [rule]}}}
    rules = policy(values)["egress"]
    assert rules[1:] == [rule]
    assert {port["port"] for port in rules[0]["ports"]} == {53}
    assert of_kind(render({"networkPolicy": {"enabled": False}}), "NetworkPolicy") == []


@pytest.mark.parametrize(
    ("settings", "size"),
    [({}, "257m"), ({"POLYPREFIX_MAX_BATCH_FILE_MIB": 32}, "65m")],
)
def test_the_ingress_lets_the_largest_file_pass(settings: Any, size: str) -> None:
    manifests = render(merged(PRODUCTION, {"settings": settings}))
    annotations = the(manifests, "Ingress")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io"
    assert annotations[f"{prefix}/proxy-body-size"] == size
    timeout = Settings.model_fields["request_timeout_seconds"].default
    assert int(annotations[f"{prefix}/proxy-read-timeout"]) > timeout


def test_routes_lead_to_the_service() -> None:
    manifests = render(merged(PRODUCTION, VALUE_SETS["gateway"]))
    service = the(manifests, "Service")
    (rule,) = the(manifests, "Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    port = service["spec"]["ports"][0]["port"]
    assert backend == {"name": service["metadata"]["name"], "port": {"number": port}}
    (route,) = the(manifests, "HTTPRoute")["spec"]["rules"]
    assert route["backendRefs"] == [{"name": service["metadata"]["name"], "port": port}]


def test_prometheus_reads_the_metrics_with_their_key() -> None:
    monitor = the(render(PRODUCTION), "ServiceMonitor")["spec"]
    service = the(render(PRODUCTION), "Service")["metadata"]["labels"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"]["credentials"]["key"] == "POLYPREFIX_METRICS_KEY"
    assert service[monitor["jobLabel"]] == "polyprefix"  # an alert names the job
    assert monitor["selector"]["matchLabels"].items() <= service.items()


def test_prometheus_checks_the_certificate_of_the_servers() -> None:
    tls = VALUE_SETS["tls"]
    public = {"serverName": "prefixes.example.org"}
    values = merged(tls, {"metrics": {"serviceMonitor": {"tlsConfig": public}}})
    private, shown = (
        the(render(one), "ServiceMonitor")["spec"]["endpoints"][0]["tlsConfig"]
        for one in (tls, values)
    )
    assert shown == public
    assert private["serverName"] == "demo-polyprefix.apps.svc"
    assert private["ca"]["secret"] == {"name": "cert", "key": "ca.crt"}


def test_scaling_by_the_queue_reads_the_metric_of_the_servers() -> None:
    (trigger,) = the(render(VALUE_SETS["keda"]), "ScaledObject")["spec"]["triggers"]
    service = the(render(VALUE_SETS["keda"]), "Service")["metadata"]["name"]
    expected = f'sum(polyprefix_waiting_inputs{{namespace="apps", service="{service}"}})'
    assert trigger["metadata"]["query"] == expected
    values = merged(REPLICATED, {"autoscaling": {"kind": "hpa", "cpuPercent": None}})
    (metric,) = the(render(values), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "polyprefix_waiting_inputs"

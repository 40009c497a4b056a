"""The mode `ray`: a RayService whose engines fit its pods."""

import importlib
from typing import Any, Final

import pytest
import yaml

from server.settings import Settings
from tests.helm.charts import (
    Manifest,
    helm,
    merged,
    of_kind,
    pod_templates,
    render,
    the,
    values_file,
)
from tests.helm.test_settings import loaded

RAY: Final = values_file("values-ray.yaml")
FIXED: Final = merged(RAY, {"ray": {"engines": {"max": 2}}})


def cluster(values: Any) -> Manifest:
    config: Manifest = the(render(values), "RayService")["spec"]["rayClusterConfig"]
    return config


def test_ray_accepts_the_configuration_and_finds_the_application() -> None:
    schema = pytest.importorskip(
        "ray.serve.schema", reason="Ray is not installed: pip install 'polyprefix[ray]'"
    )
    text = the(render(RAY), "RayService")["spec"]["serveConfigV2"]
    config = schema.ServeDeploySchema.model_validate(yaml.safe_load(text))
    (application,) = config.applications
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert config.http_options.port == Settings.model_fields["port"].default


def test_each_worker_has_the_cpus_and_gpus_of_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    values = merged(RAY, {"gpu": {"enabled": True}})
    settings = loaded(values, monkeypatch)
    limits = pod_templates(render(values))["workers"]["spec"]["containers"][0]["resources"][
        "limits"
    ]
    assert settings.ray_engine_cpus == int(limits["cpu"])
    assert settings.ray_engine_gpus == limits["nvidia.com/gpu"]
    assert settings.num_threads is None  # as many as the engine reserves


def test_there_are_as_many_workers_as_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(RAY, monkeypatch)
    (group,) = cluster(RAY)["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == settings.ray_engine_replicas
    assert group["maxReplicas"] == settings.ray_max_engine_replicas
    assert cluster(RAY)["enableInTreeAutoscaling"] is True


def test_each_engine_of_a_further_backbone_has_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    further = [{"source": "org/model", "engines": 3}, {"source": "/models/german", "engines": 1}]
    values = merged(RAY, {"ray": {"backbones": further}})
    settings = loaded(values, monkeypatch)
    assert settings.ray_backbone_list == (("org/model", 3), ("/models/german", 1))
    (group,) = cluster(values)["workerGroupSpecs"]
    assert group["minReplicas"] == group["replicas"] == settings.ray_engine_replicas + 4
    assert settings.ray_max_engine_replicas is not None
    assert group["maxReplicas"] == settings.ray_max_engine_replicas + 4


def test_a_fixed_number_of_engines_needs_no_autoscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(FIXED, monkeypatch).ray_max_engine_replicas is None
    assert "enableInTreeAutoscaling" not in cluster(FIXED)
    (head, worker) = (pod_templates(render(FIXED))[name]["spec"] for name in ("head", "workers"))
    assert not head["automountServiceAccountToken"]
    assert not worker["automountServiceAccountToken"]


def test_only_the_head_may_change_the_cluster() -> None:
    manifests = render(RAY)
    (head, worker) = (pod_templates(manifests)[name]["spec"] for name in ("head", "workers"))
    accounts = {one["metadata"]["name"] for one in of_kind(manifests, "ServiceAccount")}
    assert accounts == {head["serviceAccountName"], worker["serviceAccountName"]}
    assert len(accounts) == 2
    assert (head["automountServiceAccountToken"], worker["automountServiceAccountToken"]) == (
        True,
        False,
    )


def test_no_engine_runs_on_the_head_and_its_ports_are_those_of_kuberay() -> None:
    head = cluster(RAY)["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    (container,) = head["template"]["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "gcs-server": 6379,
        "dashboard": 8265,
        "client": 10001,
        "serve": Settings.model_fields["port"].default,
    }


def test_the_policy_lets_the_cluster_and_its_operator_in() -> None:
    spec = the(render(FIXED), "NetworkPolicy")["spec"]
    serving, cluster_pods, operator = spec["ingress"]
    assert serving["ports"] == [{"port": "serve", "protocol": "TCP"}]
    assert cluster_pods["from"] == spec["egress"][0]["to"]
    assert [port["port"] for port in operator["ports"]] == [8265, "serve"]


def test_the_autoscaler_and_nothing_else_reaches_the_api_of_kubernetes() -> None:
    values = merged(RAY, {"ray": {"apiServerCidr": "10.96.0.1/32"}})
    _, policy = of_kind(render(values), "NetworkPolicy")
    pods = pod_templates(render(values))
    labels = policy["spec"]["podSelector"]["matchLabels"].items()
    assert labels <= pods["head"]["metadata"]["labels"].items()
    assert not labels <= pods["workers"]["metadata"]["labels"].items()
    (rule,) = policy["spec"]["egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "10.96.0.1/32"}}]
    assert [port["port"] for port in rule["ports"]] == [443, 6443]


@pytest.mark.parametrize(("allowed", "kept"), [(1, 2), (2, 1), (9, 0)])
def test_pods_of_ray_are_evicted_though_their_owner_has_no_scale(allowed: int, kept: int) -> None:
    values = merged(RAY, {"podDisruptionBudget": {"maxUnavailable": allowed}})
    budget = the(render(values), "PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == kept  # of the head and two workers
    assert "maxUnavailable" not in budget


def test_routes_and_prometheus_use_the_service_of_kuberay() -> None:
    values = merged(
        RAY,
        {
            "ingress": {"enabled": True, "hosts": ["prefixes.example.org"]},
            "metrics": {"serviceMonitor": {"enabled": True}},
        },
    )
    manifests = render(values)
    assert of_kind(manifests, "Service") == of_kind(manifests, "ServiceMonitor") == []
    (rule,) = the(manifests, "Ingress")["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "demo-polyprefix-serve-svc", "port": {"number": 8000}}
    (scraped,) = the(manifests, "ScrapeConfig")["spec"]["staticConfigs"]
    assert scraped["targets"] == ["demo-polyprefix-serve-svc.apps.svc:8000"]
    assert scraped["labels"]["job"] == "polyprefix"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resources": {"limits": {"cpu": "1500m"}}}, "resources.limits.cpu is not a whole number"),
        ({"ray": {"engines": {"min": 8}}}, "ray.engines.max is 6"),
        ({"tls": {"secretName": "cert"}}, "the proxies of Ray speak plain HTTP"),
        ({"autoscaling": {"kind": "hpa"}}, "mode is ray"),
        ({"podDisruptionBudget": {"maxUnavailable": "25%"}}, "it must be a number of pods"),
        ({"secrets": {"existing": []}}, "no database is shared"),
    ],
)
def test_values_that_do_not_fit_ray_are_rejected(change: Any, message: str) -> None:
    with pytest.raises(helm.HelmError, match=message):
        render(merged(RAY, change))

"""Pods: confined, stopped in time, and probed where the server answers."""

import re
from pathlib import PurePosixPath
from typing import Any, Final

import pytest

from server.api.status import router
from server.settings import Settings
from tests.helm.charts import Manifest, merged, of_kind, pod_templates, render, the
from tests.helm.value_sets import REPLICATED, VALUE_SETS
from tests.test_docker import DOCKERFILE, environment

ROUTES: Final = {getattr(route, "path", None) for route in router.routes}


def server_of(values: Any) -> tuple[Manifest, Manifest]:
    """The pod of the server, and its container."""
    templates = pod_templates(render(values))
    (pod,) = (pod["spec"] for name, pod in templates.items() if name != "test")
    (container,) = pod["containers"]
    return pod, container


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
def test_every_pod_is_confined(values: Any) -> None:
    user = re.findall(r"useradd --uid (\d+)", DOCKERFILE)
    for pod in pod_templates(render(values)).values():
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        is_autoscaler = values.get("mode") == "ray" and spec["automountServiceAccountToken"]
        assert spec["automountServiceAccountToken"] is False or is_autoscaler
        assert spec["enableServiceLinks"] is False
        assert security["runAsNonRoot"] is True
        assert [str(security["runAsUser"])] == user
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize("values", [{}, REPLICATED], ids=["single", "replicated"])
def test_the_server_writes_only_where_it_may(values: Any) -> None:
    _, container = server_of(values)
    writable = [mount["mountPath"] for mount in container["volumeMounts"]]
    written = {
        environment()[name] for name in ("POLYPREFIX_STORE_FOLDER", "HF_HOME", "MPLCONFIGDIR")
    }
    for path in map(PurePosixPath, written):
        assert any(path.is_relative_to(folder) for folder in writable), path


@pytest.mark.parametrize(("drain", "seconds"), [(None, 30), (90, 90), (0.5, 1)])
def test_the_server_may_drain_before_it_is_killed(drain: float | None, seconds: int) -> None:
    pod, container = server_of({"settings": {"POLYPREFIX_DRAIN_SECONDS": drain}})
    waited = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waited > 0
    assert pod["terminationGracePeriodSeconds"] >= waited + seconds + 4
    assert drain is not None or seconds == Settings.model_fields["drain_seconds"].default


def test_there_is_no_wait_of_no_time_which_kubernetes_rejects() -> None:
    _, container = server_of({"preStopSeconds": 0})
    assert "lifecycle" not in container


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")],
)
@pytest.mark.parametrize(("values", "scheme"), [({}, "HTTP"), (VALUE_SETS["tls"], "HTTPS")])
def test_probes_call_routes_that_exist(probe: str, path: str, values: Any, scheme: str) -> None:
    _, container = server_of(values)
    assert container[probe]["httpGet"] == {"path": path, "port": "http", "scheme": scheme}
    assert path in ROUTES


@pytest.mark.parametrize("seconds", [5, 600, 601])
def test_the_startup_probe_waits_for_the_backbone(seconds: int) -> None:
    _, container = server_of({"probes": {"startupSeconds": seconds}})
    probe = container["startupProbe"]
    assert seconds <= probe["periodSeconds"] * probe["failureThreshold"] < seconds + 5


def test_a_gpu_is_a_limit_and_selects_the_device() -> None:
    values = {"gpu": {"enabled": True, "count": 2, "runtimeClassName": "nvidia"}}
    pod, container = server_of(values)
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert pod["runtimeClassName"] == "nvidia"
    assert the(render(values), "ConfigMap")["data"]["POLYPREFIX_DEVICE"] == "cuda"
    assert the(render({}), "ConfigMap")["data"]["POLYPREFIX_DEVICE"] == "cpu"


def test_one_server_has_a_claim_that_no_second_pod_can_mount() -> None:
    stateful = the(render({}), "StatefulSet")
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    assert stateful["spec"]["replicas"] == 1
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["metadata"]["name"] == "store"


def test_several_servers_are_replaced_one_by_one_and_spread() -> None:
    deployment = the(render(REPLICATED), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = deployment["spec"]["template"]
    for spread in pod["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_autoscaling_sets_the_number_of_servers() -> None:
    manifests = render(VALUE_SETS["production"])
    assert "replicas" not in the(manifests, "Deployment")["spec"]
    scaler = the(manifests, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["name"] == the(manifests, "Deployment")["metadata"]["name"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource"]


def test_a_changed_setting_or_secret_restarts_the_pods() -> None:
    def checksums(*changes: Any) -> Any:
        values = REPLICATED
        for change in changes:
            values = merged(values, change)
        return the(render(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]

    before = checksums()
    setting = checksums({"settings": {"POLYPREFIX_RESIDENT_MIB": 64}})
    secret = checksums({"secrets": {"create": {"POLYPREFIX_METRICS_KEY": "k"}}})
    assert checksums({"replicas": 5}) == before
    assert len({tuple(one.items()) for one in (before, setting, secret)}) == 3


def test_a_disruption_budget_exists_only_for_several_servers() -> None:
    assert of_kind(render({}), "PodDisruptionBudget") == []
    assert the(render(REPLICATED), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_the_image_is_that_of_the_release_a_tag_or_a_digest() -> None:
    digest = "sha256:" + "b" * 64
    images = [
        server_of({"image": image})[1]["image"]
        for image in ({}, {"tag": "cuda"}, {"tag": "cuda", "digest": digest})
    ]
    assert images == ["polyprefix:0.1.0", "polyprefix:cuda", f"polyprefix@{digest}"]

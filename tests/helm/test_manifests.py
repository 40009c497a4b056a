"""Every set of values renders to manifests that Kubernetes accepts and that fit together."""

import json
from pathlib import Path

import pytest
import yaml

from tests.helm.charts import CHART, Manifest, copy_with, helm, of_kind, pod_templates, render, the
from tests.helm.validation import VERSIONS, find_problems
from tests.helm.value_sets import VALUE_SETS


@pytest.fixture(scope="module", params=VALUE_SETS, ids=str)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(VALUE_SETS[request.param])


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_kubernetes_accept_every_manifest(
    manifests: list[Manifest], version: str
) -> None:
    assert [problem for one in manifests for problem in find_problems(one, version)] == []


def test_helm_finds_no_fault_in_the_chart() -> None:
    for values in VALUE_SETS.values():
        report = helm.lint(CHART, dict(values), strict=True)
        messages = [one["error"] for one in report["messages"] if one["severity"] >= 2]
        assert (messages, report["errors"]) == ([], [])


def test_manifests_have_names_of_their_own_and_the_labels_of_the_release(
    manifests: list[Manifest],
) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names))
    for one in manifests:
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


def test_services_budgets_and_policies_select_the_servers_only(manifests: list[Manifest]) -> None:
    selectors = [one["spec"]["selector"] for one in of_kind(manifests, "Service")]
    selectors += [
        one["spec"].get("selector", one["spec"].get("podSelector"))["matchLabels"]
        for kind in ("PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet")
        for one in of_kind(manifests, kind)
    ]
    pods = {name: pod["metadata"]["labels"] for name, pod in pod_templates(manifests).items()}
    servers = pods.keys() - {"test"}
    for selector in selectors:
        selected = {name for name, labels in pods.items() if selector.items() <= labels.items()}
        assert selected in (servers, {"head"})


def test_every_mount_has_a_volume_and_every_volume_a_mount(manifests: list[Manifest]) -> None:
    claims = [
        claim["metadata"]["name"]
        for one in of_kind(manifests, "StatefulSet")
        for claim in one["spec"].get("volumeClaimTemplates", ())
    ]
    for pod in pod_templates(manifests).values():
        spec = pod["spec"]
        mounts = {
            mount["name"] for one in spec["containers"] for mount in one.get("volumeMounts", ())
        }
        volumes = {volume["name"] for volume in spec.get("volumes", ())}
        assert mounts == volumes | (mounts & set(claims))


def test_ports_that_are_named_exist(manifests: list[Manifest]) -> None:
    for pod in pod_templates(manifests).values():
        for container in pod["spec"]["containers"]:
            ports = {port["name"] for port in container.get("ports", ())}
            probes = [container[name] for name in container if name.endswith("Probe")]
            named = {probe["httpGet"]["port"] for probe in probes} - {8265, 52365}  # of Ray itself
            assert named <= ports
    for service in of_kind(manifests, "Service"):
        assert service["spec"]["ports"][0]["targetPort"] == "http"


@pytest.mark.parametrize(
    ("name", "part", "wrong", "values"),
    [
        ("_pod.tpl", "periodSeconds: 5", "periodSecs: 5", "defaults"),
        ("_pod.tpl", "drop: [ALL]", "drop: ALL", "defaults"),
        ("_pod.tpl", "mountPath: /tmp", "mount: /tmp", "defaults"),
        ("deployment.yaml", "replicas: {{ .Values.replicas }}", "replicas: two", "replicated"),
        ("statefulset.yaml", "apps/v1", "apps/v2", "defaults"),
        ("service.yaml", "port: {{ .Values.service.port }}", "port: http", "defaults"),
        ("configmap.yaml", "\ndata:", "\nsettings:", "defaults"),
        ("networkpolicy.yaml", "policyTypes", "policies", "defaults"),
        ("poddisruptionbudget.yaml", "maxUnavailable:", "maximum:", "production"),
        ("horizontalpodautoscaler.yaml", "minReplicas", "minimum", "production"),
        ("ingress.yaml", "pathType: Prefix", "type: Prefix", "production"),
        ("servicemonitor.yaml", "interval:", "every:", "production"),
        ("prometheusrule.yaml", "files/alerts.yml", "files/none.yml", "production"),
        ("scaledobject.yaml", "threshold: {{ . | quote }}", "threshold: {{ . }}", "keda"),
        ("httproute.yaml", "backendRefs", "backends", "gateway"),
        ("tests/ready.yaml", "restartPolicy: Never", "restart: Never", "defaults"),
        ("secret.yaml", "stringData:", "stringdata:", "replicated"),
        ("rayservice.yaml", "minReplicas", "minimum", "ray"),
        ("_ray.tpl", "containerPort: 6379", "port: 6379", "ray"),
        ("scrapeconfig.yaml", "metricsPath", "path", "ray with everything"),
        ("serviceaccount.yaml", "automountServiceAccountToken", "automount", "defaults"),
    ],
)
def test_a_mistake_in_a_template_is_found(
    tmp_path: Path, name: str, part: str, wrong: str, values: str
) -> None:
    chart = copy_with(tmp_path, f"templates/{name}", part, wrong)
    problems: list[str] = []
    try:
        for one in render(VALUE_SETS[values], chart):
            problems += find_problems(one, VERSIONS[-1])
    except (helm.HelmError, FileNotFoundError) as error:
        problems.append(str(error))
    assert problems


def test_the_packaged_chart_has_the_files_of_the_repository(tmp_path: Path) -> None:
    archive = Path(helm.package(CHART, destination=tmp_path))
    assert render(VALUE_SETS["production"], archive) == render(VALUE_SETS["production"])


def test_alerts_and_dashboard_are_those_of_the_repository() -> None:
    manifests = render(VALUE_SETS["production"])
    deploy = CHART.parents[1]
    rules = yaml.safe_load((deploy / "prometheus" / "alerts.yml").read_text())
    assert the(manifests, "PrometheusRule")["spec"] == rules
    data = next(one for one in of_kind(manifests, "ConfigMap") if "polyprefix.json" in one["data"])
    dashboard = (deploy / "grafana" / "dashboards" / "polyprefix.json").read_text()
    assert json.loads(data["data"]["polyprefix.json"]) == json.loads(dashboard)

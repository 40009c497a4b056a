"""Sets of values that tests render: those of the files next to the chart, and variations."""

from typing import Any, Final

from tests.helm.charts import Values, merged, values_file

DATABASE: Final = "postgresql://polyprefix@db/polyprefix"
REPLICATED: Final[dict[str, Any]] = {
    "mode": "replicated",
    "secrets": {"create": {"POLYPREFIX_DATABASE_URL": DATABASE}},
    "settings": {"POLYPREFIX_STORE_URL": "s3://bucket/store"},
}
PRODUCTION: Final = values_file("values-production.yaml")
MONITORED: Final = {
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
VALUE_SETS: Final[dict[str, Values]] = {
    "defaults": {},
    "production": PRODUCTION,
    "keda": merged(PRODUCTION, values_file("values-keda.yaml")),
    "gpu": values_file("values-gpu.yaml"),
    "replicated": REPLICATED,
    "shared folder": merged(
        REPLICATED,
        {"persistence": {"existingClaim": "shared"}, "settings": {"POLYPREFIX_STORE_URL": None}},
    ),
    "ray": values_file("values-ray.yaml"),
    "ray with everything": merged(
        values_file("values-ray.yaml"),
        {
            "ray": {
                "engines": {"max": 2},
                "backbones": [{"source": "org/model", "engines": 3}],
            },
            "gpu": {"enabled": True},
            "ingress": {"enabled": True, "hosts": ["prefixes.example.org"]},
            "metrics": MONITORED
            | {"serviceMonitor": {"enabled": True, "keySecret": {"name": "k"}}},
        },
    ),
    "without persistence": {"persistence": {"enabled": False}},
    "existing claim": {"persistence": {"existingClaim": "mine", "accessModes": ["ReadWriteOnce"]}},
    "tls": {"tls": {"secretName": "cert"}, "metrics": MONITORED},
    "gateway": {
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
            "hostnames": ["prefixes.example.org"],
        }
    },
    "adapter": merged(REPLICATED, {"autoscaling": {"kind": "hpa", "waitingInputs": 32}}),
    "everything about pods": {
        "image": {"digest": "sha256:" + "a" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "extraEnv": [
            {
                "name": "POLYPREFIX_DATABASE_URL",
                "valueFrom": {"secretKeyRef": {"name": "db", "key": "uri"}},
            }
        ],
        "podLabels": {"team": "nlp"},
        "podAnnotations": {"example.org/owner": "nlp"},
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:x"}},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "fullnameOverride": "prefixes",
    },
}

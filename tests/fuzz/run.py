"""Run: generated requests to every route, in passes with different seeds until enough are sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemathesis.cli import schemathesis as command

from tests.fuzz.hooks import FINISHED_TRAINING, SOME_VERSION, SPARE_KEY, Hooks
from tests.fuzz.world import PREFIXES, World

_TEXTS: Final = ("a good film", "the late train", "Ada lives in London.")

_REAL: Final[Mapping[str, tuple[float, tuple[Any, ...]]]] = {
    "path.tenant": (0.9, ("acme", "acme", "acme", "zoo", "examples")),
    "path.task": (0.9, ("mood", "mood", "secret", "new")),
    "path.version": (0.9, (SOME_VERSION,)),
    "path.alias": (0.8, ("live", "next")),
    "path.reader": (0.8, ("zoo", "acme", "nobody")),
    "path.model": (0.8, ("mood", "acme/mood", "examples/mood@1", "zoo/secret:live")),
    "path.key_id": (0.9, (SPARE_KEY,)),
    "path.training": (0.9, (FINISHED_TRAINING,)),
    "body.model": (0.9, (*PREFIXES, "mood", "no/such")),
    "body.version": (0.8, (SOME_VERSION,)),
    "body.percent": (0.8, (5, 50)),
    "body.input": (0.4, _TEXTS),
    "body.inputs": (0.4, _TEXTS),
    "header.x-timeout-ms": (0.9, (20_000,)),
}
"""Real values of parameters, and how often they replace generated ones."""

_DISABLED_CHECKS: Final[Mapping[str, str]] = {
    "ignored_auth": "each request has the key of a random sender; test_access_matrix.py has these",
    "missing_required_header": "as above",
    "ensure_resource_availability": "as above: the next sender may not see what another has made",
    "positive_data_acceptance": "limits, and the fields of a task, are not in the schema",
}
"""Checks of schemathesis that are not used, and why."""

_REPLACED_FILE: Final = "/v1/tenants/{tenant}/prefixes/{task}/versions"
"""The path where a request that schemathesis expects to be rejected may have a valid file."""

_UNREACHABLE: Final[Mapping[str, str]] = {
    "POST /embed": "it has no `model`, and the default one is for POST /predict",
    "POST /v1/batches": "its Content-Type names the format, and schemathesis sends others, too",
    "POST /v1/tenants/{tenant}/trainings": "its file needs a name, which schemathesis cannot set",
}
"""Routes that reject all generated requests, and why."""

_REQUEST_SECONDS: Final = 20
"""A request that takes longer counts as hung."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run.

    `has_failed` is true if a check failed. `unreached` are routes that rejected every request.
    """

    num_cases: int
    num_passes: int
    has_failed: bool
    unreached: frozenset[str]


def fuzz(world: World, folder: Path, *, num_cases: int, examples_per_route: int) -> Outcome:
    """Send at least this many requests. Stops after the first pass in which a check fails."""
    hooks = Hooks(world)
    hooks.install()
    num_passes, has_failed = 0, False
    while hooks.num_cases < num_cases and not has_failed:
        config = folder / f"pass-{num_passes}.toml"
        config.write_text(_config(world.rest.url, num_passes, examples_per_route))
        has_failed = _pass(config, f"{world.rest.url}/openapi.json") != 0
        num_passes += 1
    unreached = frozenset(_routes_of(world) - hooks.reached - _UNREACHABLE.keys())
    return Outcome(hooks.num_cases, num_passes, has_failed, unreached)


def _routes_of(world: World) -> set[str]:
    paths = world.rest.call("GET", "/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def _pass(config: Path, url: str) -> int:
    arguments = ["--config-file", str(config), "run", url, "--no-color"]
    try:
        command.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def _config(url: str, seed: int, examples: int) -> str:
    """Return the configuration of a pass. Only the first has the requests that never change."""
    values: dict[str, Any] = {
        "base-url": url,
        "seed": seed,
        "request-timeout": _REQUEST_SECONDS,
        "max-stream-events": 5,
        "continue-on-failure": True,
        "suppress-health-check": ["filter_too_much"],  # it concerns the generator of values
        "dictionaries": {_name(key): {"values": real} for key, (_, real) in _REAL.items()},
        "parameters": {
            key: {"dictionary": _name(key), "probability": probability}
            for key, (probability, _) in _REAL.items()
        },
        "generation": {"max-examples": examples, "database": "none"},
        "checks": {
            **{name: {"enabled": False} for name in _DISABLED_CHECKS},
            # The caller itself may choose a deadline of a millisecond; the check of errors knows.
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 504]},
        },
        "operations": [
            {
                "include-path": _REPLACED_FILE,
                "checks": {"negative_data_rejection": {"enabled": False}},
            }
        ],
        "cache": {"enabled": False},
        "phases": {"coverage": {"enabled": seed == 0}, "examples": {"enabled": seed == 0}},
    }
    return "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in values.items())


def _name(parameter: str) -> str:
    return parameter.replace(".", "-").replace("_", "-")


def _toml(value: Any) -> str:
    """Write a value as TOML: JSON, except for the tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)

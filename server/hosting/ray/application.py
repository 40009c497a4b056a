"""The application for Ray Serve: an ingress deployment over a deployment of the engine.

`serve run server.hosting.ray.application:application` deploys it with the settings of the
environment.
"""

from typing import Any, Final

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig

from server.hosting.ray.autoscaling import QueuedTokens
from server.hosting.ray.engine_replica import EngineReplica
from server.hosting.ray.ingress import Ingress
from server.hosting.ray.router import TaskAffinityRouter
from server.settings import Settings
from server.settings.lists import BackboneReplicas

NAME: Final = "polyprefix"
"""The name of the application."""

_HEALTH_SECONDS: Final = 2.0
_MORE_DRAIN_SECONDS: Final = 5.0
"""Time after `drain_seconds` for the last writes to the database."""


def application(arguments: dict[str, str] | None = None) -> Application:
    """Build the application for `serve run` and `serve deploy`.

    Args:
        arguments: settings by name, such as `store_folder`. They override the environment.

    Raises:
        InvalidSettings: when a setting is unknown, or its value is not valid.
    """
    return build(Settings.load(**(arguments or {})))


def build(settings: Settings) -> Application:
    """Build the application. The replicas of the default backbone run the jobs."""
    default, *others = _settings_of_engines(settings)
    other_engines = [
        _engine(f"engine-{number}", one).bind(one, runs_jobs=False)
        for number, one in enumerate(others, start=2)
    ]
    engine = _engine("engine", default).bind(default, *other_engines, runs_jobs=True)
    ingress = serve.deployment(serve.ingress()(Ingress), **_ingress_options(settings))
    return ingress.bind(settings, engine, *other_engines)


def num_cpus(settings: Settings) -> float:
    """Return the CPU cores that all replicas reserve at most."""
    return sum(
        (one.ray_max_engine_replicas or one.ray_engine_replicas) * one.ray_engine_cpus
        for one in _settings_of_engines(settings)
    )


def _settings_of_engines(settings: Settings) -> list[Settings]:
    """Return the settings of the engine of each backbone, those of the default backbone first."""
    # A replica has as many threads as it reserves.
    threads = settings.num_threads or max(1, int(settings.ray_engine_cpus))
    default = settings.model_copy(update={"num_threads": threads})
    return [default, *(_settings_of(one, default) for one in settings.ray_backbone_list)]


def _settings_of(other: BackboneReplicas, default: Settings) -> Settings:
    changes: dict[str, Any] = {"backbone": other.source, "examples_folder": None}
    if other.num_replicas is not None:
        changes |= {
            "ray_engine_replicas": other.num_replicas,
            "ray_max_engine_replicas": None,
        }
    return default.model_copy(update=changes)


def _engine(name: str, settings: Settings) -> Any:
    return serve.deployment(EngineReplica, name=name, **_engine_options(settings))


def _engine_options(settings: Settings) -> dict[str, Any]:
    return {
        "ray_actor_options": {
            "num_cpus": settings.ray_engine_cpus,
            "num_gpus": settings.ray_engine_gpus,
        },
        # The replica's own admission control rejects first, because it knows the wait.
        "max_ongoing_requests": settings.max_waiting_inputs,
        "request_router_config": RequestRouterConfig(
            request_router_class=TaskAffinityRouter,
            request_router_kwargs={"slack_tokens": settings.ray_slack_tokens},
        ),
        **_replicas_of_engine(settings),
        **_common_options(settings),
    }


def _replicas_of_engine(settings: Settings) -> dict[str, Any]:
    if settings.ray_max_engine_replicas is None:
        return {"num_replicas": settings.ray_engine_replicas}
    policy = AutoscalingPolicy(
        policy_function=QueuedTokens, policy_kwargs={"target_tokens": settings.ray_queued_tokens}
    )
    return {
        "autoscaling_config": AutoscalingConfig(
            min_replicas=settings.ray_engine_replicas,
            max_replicas=settings.ray_max_engine_replicas,
            policy=policy,
        )
    }


def _ingress_options(settings: Settings) -> dict[str, Any]:
    return {
        "name": "ingress",
        "num_replicas": settings.ray_ingress_replicas,
        "ray_actor_options": {"num_cpus": 0},
        "max_ongoing_requests": settings.max_waiting_inputs,
        **_common_options(settings),
    }


def _common_options(settings: Settings) -> dict[str, Any]:
    return {
        "max_queued_requests": settings.max_waiting_inputs,
        "health_check_period_s": _HEALTH_SECONDS,
        "logging_config": {"enable_access_log": False},  # the application logs requests itself
        "graceful_shutdown_wait_loop_s": 0.2,
        "graceful_shutdown_timeout_s": settings.drain_seconds + _MORE_DRAIN_SECONDS,
    }

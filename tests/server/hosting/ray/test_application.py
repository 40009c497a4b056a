"""The application for Ray Serve, without a cluster."""

import pytest

from server.settings import Settings

pytest.importorskip("ray", reason="needs the extra `ray`")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own, at import


def test_each_backbone_reserves_the_cores_of_its_replicas() -> None:
    from server.hosting.ray.application import num_cpus

    settings = Settings(ray_engine_replicas=3, ray_engine_cpus=2)
    assert num_cpus(settings) == 3 * 2
    more = settings.model_copy(update={"ray_backbones": "one=4,two"})
    assert num_cpus(more) == (3 + 4 + 3) * 2
    scaled = more.model_copy(update={"ray_max_engine_replicas": 5})
    assert num_cpus(scaled) == (5 + 4 + 5) * 2

"""Exposition: the metrics of several replicas in one text, told apart by a label."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Exposition:
    """The metrics of one replica, in the text format of Prometheus."""

    replica: str
    text: bytes


def merged(expositions: Iterable[Exposition]) -> bytes:
    """Return all metrics, each with the label `replica`."""
    registry = CollectorRegistry()
    registry.register(_Collector(tuple(expositions)))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, expositions: tuple[Exposition, ...]) -> None:
        self._expositions = expositions

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for one in self._expositions:
            for family in text_string_to_metric_families(one.text.decode()):
                found = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                found.samples += [
                    sample._replace(labels={**sample.labels, "replica": one.replica})
                    for sample in family.samples
                ]
        yield from families.values()

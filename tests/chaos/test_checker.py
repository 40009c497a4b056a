"""The soak finds servers that lie: its traffic and its publisher see all that the rules need."""

import pytest

from prefixes.backbone import Backbone
from tests.chaos.liar import Lie, lying_servers
from tests.chaos.publishing import Publisher
from tests.chaos.report import Report
from tests.chaos.soak import Schedule, Soak
from tests.chaos.traffic import Traffic


def soak(backbone: Backbone, lie: Lie) -> Report:
    with lying_servers(lie) as servers:
        publisher = Publisher(servers, "key", "acme", "numbered", backbone.fingerprint, pause=0.05)
        with publisher.client() as client:
            assert publisher.publish(client, 0)
        run = Soak(Traffic(servers, publisher), publisher, faults=[])
        return run.run(Schedule(seconds=2.0, hold=0.0, every=0.0), print)


def violated(report: Report) -> set[str]:
    return {verdict.rule for verdict in report.verdicts if not verdict.is_kept}


def test_servers_that_tell_the_truth_violate_no_rule(backbone: Backbone) -> None:
    report = soak(backbone, Lie.NOTHING)
    assert report.is_kept
    assert report.num_requests > 10
    assert report.num_published > 2


@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        (Lie.LABEL_OF_ANOTHER_VERSION, "every answer is that of the version it names"),
        (Lie.TENSORS_OF_ANOTHER_VERSION, "every answer is that of the version it names"),
        (Lie.OLD_VERSION, "no answer is older than an acknowledged promotion"),
        (Lie.LOST_VERSION, "no acknowledged version is lost"),
        (Lie.ERROR, "every error is 503 with Retry-After"),
    ],
    ids=[lie.value for lie in Lie if lie is not Lie.NOTHING],
)
def test_a_lie_violates_its_rule_alone(backbone: Backbone, lie: Lie, rule: str) -> None:
    assert violated(soak(backbone, lie)) == {rule}

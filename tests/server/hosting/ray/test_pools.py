"""Several backbones behind one ingress, without Ray: which engine answers what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefixes import BackboneFingerprint, PrefixRejected
from prefixes.answers import NO_RULES, RuleOptions
from prefixes.backbone import Backbone
from prefixes.errors import InputRejected, UnknownLabel
from prefixes.registry import PrefixRegistry
from prefixes.spec import AnswerRules
from server.engine.values import Recording
from server.errors import LimitExceeded, WrongTaskType
from server.hosting.front_ends.messages import Failure, Reply
from server.hosting.ray.calls import EngineCall, ReplicaLost
from server.hosting.ray.pools import EnginePool, EnginePools
from server.hosting.ray.routed_engine import RoutedEngine
from server.limits.allowance import Account, Allowance
from tests.factories import make_prefix
from tests.server.hosting.ray.test_routed_engine import OneReplica, ask
from tests.server.rest import new_registry, put, put_some

pytestmark = pytest.mark.anyio

OTHERS = ("acme/other", "acme/further")
"""Tasks for the second backbone."""


class NotingReplica(OneReplica):
    """Keeps the calls. `before` runs once, before the next call is answered."""

    def __init__(self, registry: PrefixRegistry) -> None:
        super().__init__(registry)
        self.calls: list[EngineCall] = []
        self.before: Callable[[], None] | None = None

    async def call(
        self, call: EngineCall, *, task: str | None, num_tokens: int, attempt: int
    ) -> Reply | Failure:
        self.calls.append(call)
        if self.before is not None:
            before, self.before = self.before, None
            before()
        return await super().call(call, task=task, num_tokens=num_tokens, attempt=attempt)

    @property
    def asked(self) -> list[list[str]]:
        """The tasks of the inputs of each call of `infer`."""
        return [
            [f"{item.ref.tenant}/{item.ref.task}" for item in call.arguments["inputs"]]
            for call in self.calls
            if call.method == "infer"
        ]


@pytest.fixture
def other(backbone: Backbone) -> BackboneFingerprint:
    """Another backbone."""
    changes = {"name": "other", "weights_sha256": "f" * 64}
    return backbone.fingerprint.model_copy(update=changes)


@pytest.fixture
def unserved(backbone: Backbone) -> BackboneFingerprint:
    changes = {"name": "unserved", "weights_sha256": "a" * 64}
    return backbone.fingerprint.model_copy(update=changes)


@pytest.fixture
def registry(tmp_path: Path, backbone: Backbone, other: BackboneFingerprint) -> PrefixRegistry:
    registry, _ = new_registry(tmp_path / "store")
    put_some(registry, backbone.fingerprint)
    for seed, task in enumerate(OTHERS, start=50):
        put(registry, task, make_prefix(other, seed=seed, labels=("ham", "spam")))
    return registry


@pytest.fixture
def replicas(registry: PrefixRegistry) -> tuple[NotingReplica, NotingReplica]:
    """A replica of each backbone, the default first."""
    return NotingReplica(registry), NotingReplica(registry)


@pytest.fixture
def engine(
    replicas: tuple[NotingReplica, NotingReplica],
    registry: PrefixRegistry,
    backbone: Backbone,
    other: BackboneFingerprint,
) -> RoutedEngine:
    fingerprints = (backbone.fingerprint, other)
    pools = [EnginePool(*pair) for pair in zip(fingerprints, replicas, strict=True)]
    return RoutedEngine(EnginePools(pools, registry), registry.database)


async def test_each_engine_answers_its_part_of_a_request(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    refs = ("acme/other", "acme/mood", "acme/further", "examples/mood", "acme/other")
    found = await ask(engine, *refs)

    assert [f"{one.version.tenant}/{one.version.task}" for one in found.results] == list(refs)
    assert replicas[0].asked == [["acme/mood", "examples/mood"]]
    assert replicas[1].asked == [["acme/other", "acme/further", "acme/other"]]


async def test_a_request_for_one_backbone_is_not_divided(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    await ask(engine, *OTHERS)

    assert [one.asked for one in replicas] == [[], [list(OTHERS)]]


async def test_a_version_for_a_backbone_that_is_not_served_is_an_error_that_names_both(
    engine: RoutedEngine, registry: PrefixRegistry, unserved: BackboneFingerprint
) -> None:
    put(registry, "acme/lost", make_prefix(unserved))

    with pytest.raises(PrefixRejected, match=r"other \(weights ffffffffffff\), found unserved"):
        await ask(engine, "acme/mood", "acme/lost")


async def test_the_rules_of_a_request_concern_all_of_its_tasks(engine: RoutedEngine) -> None:
    for label, is_known in (("good", True), ("spam", True), ("none", False)):
        rules = RuleOptions(AnswerRules(thresholds={label: 0.5}))
        if is_known:
            await ask(engine, "acme/mood", "acme/other", rules=rules)
        else:
            with pytest.raises(UnknownLabel):
                await ask(engine, "acme/mood", "acme/other", rules=rules)


async def test_errors_name_the_place_in_the_whole_request(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    with pytest.raises(WrongTaskType) as wrong:
        await ask(
            engine,
            "acme/mood",
            "acme/other",
            "examples/vectors",
            task_type="sequence_classification",
        )
    assert wrong.value.place == 2

    rejection = InputRejected("empty")
    rejection.index = 1
    replicas[1].engine.failure = rejection
    with pytest.raises(InputRejected) as rejected:
        await ask(engine, "acme/other", "acme/mood", "acme/other")
    assert str(rejected.value.among(3)) == "input[2]: empty"


async def test_recorded_answers_have_their_places_in_the_whole_request(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    recording = Recording("acme", "a-request")
    await ask(engine, "acme/other", "acme/mood", "acme/other", recording=recording)

    first, second = (one.calls[0].arguments["recording"] for one in replicas)
    assert first.place_of(0) == 1
    assert [second.place_of(index) for index in range(2)] == [0, 2]


async def test_an_alias_that_moves_to_another_backbone_meanwhile_is_followed(
    engine: RoutedEngine,
    replicas: tuple[NotingReplica, NotingReplica],
    registry: PrefixRegistry,
    other: BackboneFingerprint,
) -> None:
    def move() -> None:
        put(registry, "acme/mood", make_prefix(other, seed=77))
        raise PrefixRejected(())

    replicas[0].before = move
    (result,) = (await ask(engine, "acme/mood")).results

    assert result.version.version == 2
    assert [one.asked for one in replicas] == [[["acme/mood"]], [["acme/mood"]]]


async def test_an_upload_is_replayed_on_its_backbone(
    engine: RoutedEngine,
    replicas: tuple[NotingReplica, NotingReplica],
    other: BackboneFingerprint,
    unserved: BackboneFingerprint,
) -> None:
    assert await engine.replay(make_prefix(other), "digest") == ()
    with pytest.raises(PrefixRejected, match="unserved"):
        await engine.replay(make_prefix(unserved), "digest")

    assert [[call.method for call in one.calls] for one in replicas] == [[], ["replay"]]


async def test_counts_of_a_canary_are_those_of_its_backbone(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    await engine.canary_counts("acme", "other", "live")

    assert [one.tasks for one in replicas] == [[], ["acme/other"]]


async def test_the_server_is_ready_when_each_backbone_is(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    assert await engine.find_problem() is None
    replicas[1].failures = [ReplicaLost("killed")] * 2
    assert str(await engine.find_problem()).startswith("other: ")


async def test_answers_of_all_backbones_are_written(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    await engine.write_answers()

    assert [[call.method for call in one.calls] for one in replicas] == [["write_answers"]] * 2


async def test_a_divided_request_is_charged_once(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    allowance = Allowance((Account("tenant", "acme", 0.2),))
    for _ in range(2):
        found = await ask(engine, "acme/mood", "acme/other", allowance=allowance)
    with pytest.raises(LimitExceeded):
        await ask(engine, "acme/mood", "acme/other", allowance=allowance)

    assert found.rates[0].remaining == 0
    assert [len(one.calls) for one in replicas] == [2, 2]


async def test_options_that_were_checked_are_not_sent(
    engine: RoutedEngine, replicas: tuple[NotingReplica, NotingReplica]
) -> None:
    how: dict[str, Any] = {"task_type": "sequence_classification"}
    await ask(engine, "acme/other", rules=RuleOptions(AnswerRules(thresholds={"ham": 0.1})), **how)

    (call,) = replicas[1].calls
    assert (call.arguments["rules"], call.arguments["task_type"]) == (NO_RULES, None)

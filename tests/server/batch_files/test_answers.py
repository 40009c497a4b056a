"""Answering rows with an engine that a test controls."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from prefixes.errors import InputRejected, StoreCorrupted
from prefixes.limits import NO_LIMITS, Limits
from prefixes.registry import PrefixRegistry
from prefixes.registry.tables import now
from server.api import batch_rows
from server.api.batch_answers import BatchAnswerer
from server.batch_files.input_rows import InputRow
from server.batch_files.models import FixedModels
from server.batch_files.records import BatchFile, BatchRequest, Checkpoint, RunningState
from server.engine.values import InferenceResponse, TaskInput
from server.errors import EngineUnavailable, InferenceFailed, LimitExceeded, Overloaded
from server.rates import RateState
from tests.factories import make_prefix
from tests.server.rest import FakeEngine, new_registry, put, put_some

pytestmark = pytest.mark.anyio

Fail = Callable[[Sequence[TaskInput]], Exception | None]


class Engine(FakeEngine):
    """Fails as a test says, and notes how many inputs each call had."""

    def __init__(self, registry: PrefixRegistry) -> None:
        super().__init__(registry)
        self.fail: Fail = lambda _: None
        self.sizes: list[int] = []
        self.weights: set[float] = set()
        self.rates: tuple[RateState, ...] = ()

    async def infer(self, inputs: Sequence[TaskInput], **how: Any) -> InferenceResponse:
        assert how["is_background"]
        self.sizes.append(len(inputs))
        self.weights.add(how["allowance"].weight)
        if (error := self.fail(inputs)) is not None:
            raise error
        response = await super().infer(inputs, **how)
        return InferenceResponse(response.results, self.rates)


class World:
    """A registry with tasks, an engine, and the seconds that the answerer slept."""

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.registry, _ = new_registry(folder)
        put_some(self.registry, backbone.fingerprint)
        tree = make_prefix(backbone.fingerprint, labels=("a/x", "a/y"))
        put(self.registry, "acme/tree", tree)
        self.engine = Engine(self.registry)
        self.slept: list[float] = []
        self.answerer = BatchAnswerer(self.engine, self.registry, None, 5.0, self._sleep)
        self.models: FixedModels | None = None

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def answer(
        self, *values: Any, options: dict[str, Any] | None = None, limits: Limits = NO_LIMITS
    ) -> list[dict[str, Any]]:
        request = BatchRequest("acme", "mood", options or {}, "jsonl", "0" * 12)
        batch = BatchFile(
            "b", request, "running", False, now(), now(), None, len(values), Checkpoint(), None
        )
        names = frozenset(one.get("model") if isinstance(one, dict) else None for one in values)
        if self.models is None:
            self.models = await self.answerer.fix_models(batch, names)
        rows = [InputRow(value, None, 0) for value in values]
        state = RunningState(False, False, limits, NO_LIMITS)
        answered = await self.answerer.answer(
            rows, 10, batch=batch, models=self.models, state=state
        )
        shown = [json.loads(line.data) for line in answered.lines]
        assert [one["index"] for one in shown] == list(range(10, 10 + len(values)))
        assert [line.is_failed for line in answered.lines] == ["error" in one for one in shown]
        assert all(line.data.endswith(b"\n") for line in answered.lines)
        return shown


@pytest.fixture
def world(tmp_path: Path, backbone: Backbone) -> World:
    return World(tmp_path, backbone)


def codes(results: Sequence[dict[str, Any]]) -> list[str]:
    return [one["error"]["code"] if "error" in one else "" for one in results]


async def test_rows_of_many_tasks_are_answered_in_one_request_with_their_ids(
    world: World,
) -> None:
    found = await world.answer(
        "good",
        {"id": "a", "text": "bad"},
        {"id": 7, "model": "examples/topics", "text": "x"},
        {"id": "ü\n", "model": "pair@1", "text_a": "x", "text_b": "y"},
        options={"top_k": 1},
    )
    assert world.engine.sizes == [4]
    assert [one.get("id") for one in found] == [None, "a", 7, "ü\n"]
    assert [one["model"] for one in found] == [
        "acme/mood@1", "acme/mood@1", "examples/topics@1", "acme/pair@1",
    ]  # fmt: skip
    assert [len(one["scores"]) for one in found] == [1, 1, 1, 1]


async def test_an_invalid_row_has_the_error_of_a_request_and_the_others_are_answered(
    world: World,
) -> None:
    found = await world.answer(
        {"id": "a", "text": 3},
        "good",
        17,
        {"id": [], "text": "x"},
        {"id": "z", "model": "missing", "text": "x"},
        {"model": "zoo/secret", "text": "x"},
        {"model": "a b", "text": "x"},
        {"text": "\ud800"},
    )
    assert codes(found) == [
        "invalid_request", "", "invalid_request", "invalid_request", "prefix_not_found",
        "prefix_not_found", "invalid_name", "invalid_request",
    ]  # fmt: skip
    assert [one.get("id") for one in found[:5]] == ["a", None, None, None, "z"]
    assert found[0]["error"]["errors"][0]["field"] == "text"
    assert found[4]["error"]["status"] == 404
    assert "not a text" not in found[0]["error"]["detail"]


async def test_a_level_is_checked_once_for_each_model_before_any_row_runs(world: World) -> None:
    found = await world.answer(
        "good", {"model": "tree", "text": "good"}, "bad", options={"level": 2}
    )
    assert codes(found) == ["invalid_rules", "", "invalid_rules"]
    assert found[1]["level"] == 2
    assert world.engine.sizes == [1]


async def test_an_error_of_the_engine_belongs_to_its_row_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(inputs: Sequence[TaskInput]) -> Exception | None:
        texts = [item.fields["text"] for item in inputs if isinstance(item.fields, dict)]
        if "bad" in texts:
            return InputRejected("no")
        if "odd" in texts:
            return ValueError("a defect with internals")
        return InferenceFailed("broken") if "worse" in texts else None

    world.engine.fail = fail
    texts = ["a", "b", "bad", "c", "d", "worse", "e", "f", "odd"]
    found = await world.answer(*({"text": text} for text in texts))
    assert codes(found) == [
        "", "", "input_rejected", "", "", "inference_failed", "", "", "internal_error",
    ]  # fmt: skip
    assert "internals" not in json.dumps(found)
    assert caplog.text.count("a row of a batch failed") == 1
    assert "a defect with internals" in caplog.text


async def test_a_defect_in_reading_a_row_or_writing_its_result_is_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a defect")

    for place in ("check_unicode", "results_of"):
        with monkeypatch.context() as patch:
            patch.setattr(batch_rows, place, fail)
            assert codes(await world.answer("a")) == ["internal_error"]
    assert caplog.text.count("KeyError: 'a defect'") == 2


async def test_a_damaged_version_is_the_error_of_its_rows_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.engine.fail = lambda _: StoreCorrupted("the blob 7 is damaged")
    (found,) = await world.answer("a")
    assert found["error"]["code"] == "store_corrupted"
    assert "the blob 7 is damaged" in caplog.text


async def test_a_used_up_limit_makes_the_rows_wait_and_fails_none(world: World) -> None:
    errors: list[Exception] = [
        LimitExceeded("later", limit="tokens_per_second", retry_after_seconds=3),
        Overloaded("later", retry_after_seconds=60),
    ]
    world.engine.fail = lambda _: errors.pop(0) if errors else None
    assert codes(await world.answer("a", "b")) == ["", ""]
    assert world.slept == [3, 10]
    assert world.engine.sizes == [2, 2, 2]


async def test_half_of_each_rate_is_left_to_requests(world: World) -> None:
    def rate(remaining: int) -> RateState:
        return RateState("tenant-tokens", "tokens", 100, 10, remaining, 1)

    world.engine.rates = (rate(60),)
    await world.answer("a")
    assert world.slept == []
    world.engine.rates = (rate(60), rate(20))
    await world.answer("a")
    assert world.slept == [3.0]


async def test_no_more_texts_are_in_flight_than_the_tenant_may_have(world: World) -> None:
    await world.answer(*"abcde", limits=Limits(max_in_flight_texts=2))
    assert world.engine.sizes == [2, 2, 1]
    assert max(world.engine.weights) < 1


async def test_a_stopping_engine_fails_no_row(world: World) -> None:
    world.engine.fail = lambda _: EngineUnavailable("draining")
    with pytest.raises(EngineUnavailable):
        await world.answer("a", "b")


async def test_all_rows_of_a_file_get_the_version_of_its_first_row(
    world: World, backbone: Backbone, tmp_path: Path
) -> None:
    first = await world.answer({"model": "mood", "text": "a"})
    put(world.registry, "acme/mood", make_prefix(backbone.fingerprint, seed=99))
    assert world.models is not None
    world.models.save(tmp_path / "models.json")
    world.models = FixedModels.load(tmp_path / "models.json")
    later = await world.answer({"model": "mood", "text": "a"})
    assert first[0]["model"] == later[0]["model"] == "acme/mood@1"
    world.models = None
    assert (await world.answer({"model": "mood", "text": "a"}))[0]["model"] == "acme/mood@2"


async def test_a_deleted_version_is_the_error_of_the_rows_that_are_left(world: World) -> None:
    await world.answer({"model": "pair", "text_a": "x", "text_b": "y"}, "good")
    world.registry.delete_prefix("acme", "pair")
    found = await world.answer({"model": "pair", "text_a": "x", "text_b": "y"}, "good")
    assert codes(found) == ["prefix_not_found", ""]

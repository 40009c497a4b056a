"""The buffer of answers, and its writer."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from prefixes.encoded import EncodedText, OccludedPart
from prefixes.errors import StoreUnavailable
from prefixes.registry import (
    COMMAND_LINE,
    AnswerStore,
    FeedbackRule,
    FeedbackSettings,
    PrefixRegistry,
    open_registry,
)
from prefixes.registry.recorded_answer_rows import NewAnswer
from prefixes.template import InputFields, TokenIds
from server.batching.timings import Timings
from server.engine.recording import recorder as module
from server.engine.recording.answers import content_of, margin_of
from server.engine.recording.recorder import MAX_ANSWERS, MAX_CHARACTERS, AnswerRecorder
from server.engine.recording.writer import recording
from server.engine.values import InferenceResult, OccludedResult, Recording
from server.feedback.sealing import Sealer
from tests.factories import make_prefix, make_spec
from tests.server.doubles import publish

pytestmark = pytest.mark.anyio

ACME = Recording("acme", "r1")


@pytest.fixture
def registry(tmp_path: Path, backbone: Backbone) -> PrefixRegistry:
    registry = open_registry(tmp_path / "store")
    publish(registry, "acme", "tone", make_prefix(backbone.fingerprint))
    rule = FeedbackRule(is_enabled=True)
    FeedbackSettings(registry.database).set("acme", rule, by=COMMAND_LINE)
    return registry


def result(
    backbone: Backbone,
    *logits: Sequence[Any],
    tenant: str = "acme",
    fields: InputFields = ("a text",),
    spans: Sequence[tuple[int, int] | None] = (),
    **changes: Any,
) -> InferenceResult:
    spec = make_spec(backbone.fingerprint, **changes)
    outputs = tuple(np.array(one, np.float32) for one in logits or [[0.0, 1.0]])
    text = EncodedText([1], [0], spans=spans, words=range(len(spans)))
    version = PrefixRef(tenant, "tone", version=1)
    return InferenceResult(version, "0" * 64, spec, fields, (text,), outputs, Timings(0, 0))


def stored(registry: PrefixRegistry) -> int:
    return FeedbackSettings(registry.database).find("acme").num_answers


def test_only_texts_of_own_tasks_are_collected(backbone: Backbone) -> None:
    recorder = AnswerRecorder()
    others = result(backbone, tenant="zoo")
    ids = result(backbone, fields=TokenIds((1, 2)))
    vector = result(backbone, task_type="embedding")
    recorder.add(ACME, [others, result(backbone), ids, vector])
    answers, disagreements, num_dropped = recorder.take()
    assert [one.place for one in answers] == [1]
    assert (disagreements, num_dropped) == ([], 0)
    assert recorder.take() == ([], [], 0)


def test_a_tenant_has_a_maximum_between_writes_and_leaves_room_for_others(
    backbone: Backbone,
) -> None:
    recorder = AnswerRecorder()
    one = result(backbone)
    recorder.add(ACME, [one] * (MAX_ANSWERS + 7))
    recorder.add(Recording("zoo", "r2"), [result(backbone, tenant="zoo")])
    answers, _, num_dropped = recorder.take()
    assert (len(answers), num_dropped) == (MAX_ANSWERS + 1, 7)
    recorder.add(ACME, [one])
    assert len(recorder.take()[0]) == 1


def test_long_texts_have_a_maximum_too(backbone: Backbone) -> None:
    recorder = AnswerRecorder()
    half = "x" * (MAX_CHARACTERS // 2)
    recorder.add(ACME, [result(backbone, fields={"text": half, "choices": [half, "y"]})])
    recorder.add(ACME, [result(backbone, fields=(half,))] * 3)
    answers, _, num_dropped = recorder.take()
    assert (len(answers), num_dropped) == (2, 2)


def test_explanations_are_not_kept(backbone: Backbone) -> None:
    recorder = AnswerRecorder()
    one = result(backbone)
    part = OccludedResult(OccludedPart("text", 0, 1, 1, is_all=False), one.texts, one.outputs)
    recorder.add(ACME, [replace(one, occluded=(part,) * 100)])
    ((answer,), _, _) = recorder.take()
    assert answer.result.occluded == ()
    assert content_of(answer.result) == content_of(one)


async def test_answers_are_written_on_demand_and_at_the_end(
    registry: PrefixRegistry, backbone: Backbone
) -> None:
    recorder = AnswerRecorder()
    store = AnswerStore(registry.database, max_bytes=10**6)
    recorder.add(ACME, [result(backbone)])
    await recorder.flush()
    assert stored(registry) == 0
    async with recording(recorder, store, Sealer(), seconds_between=3600):
        await asyncio.gather(recorder.flush(), recorder.flush())
        assert stored(registry) == 1
        recorder.add(ACME, [result(backbone)] * 2)
        recorder.disagreed(ACME, 0, 7)
    assert stored(registry) == 3
    assert store.find("acme", "r1", 0).other_version == 7


async def test_what_cannot_be_written_is_written_later(
    registry: PrefixRegistry,
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = AnswerRecorder()
    store = AnswerStore(registry.database, max_bytes=10**6)
    add = store.add

    def fail(answers: Sequence[NewAnswer]) -> int:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store, "add", fail)
    async with recording(recorder, store, Sealer(), seconds_between=3600):
        recorder.add(ACME, [result(backbone)])
        recorder.disagreed(ACME, 0, 7)
        await recorder.flush()
        assert stored(registry) == 0
        assert "will try again: the disk is full" in caplog.text
        monkeypatch.setattr(store, "add", add)
    assert store.find("acme", "r1", 0).other_version == 7


async def test_dropped_answers_are_logged(
    registry: PrefixRegistry,
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 1)
    recorder = AnswerRecorder()
    store = AnswerStore(registry.database, max_bytes=10**6)
    async with recording(recorder, store, Sealer(), seconds_between=3600):
        recorder.add(ACME, [result(backbone)] * 3)
    assert "did not record 2 answers" in caplog.text
    assert stored(registry) == 1


MULTI = {"problem_type": "multi_label_classification", "labels": ("a", "b", "c")}


@pytest.mark.parametrize(
    ("logits", "changes", "answer", "margin"),
    [
        ([[2.0, 2.0]], {}, {"label": "bad"}, 0.0),
        ([[-30.0, 30.0]], {}, {"label": "good"}, 1.0),
        ([[0.0, 9.0, -9.0]], MULTI, {"labels": ["a", "b"]}, 0.0),
        ([[-9.0, -9.0, -9.0]], MULTI, {"labels": []}, 0.499877),
        ([[2.5]], {"problem_type": "regression", "labels": ("x",)}, {"value": 2.5}, None),
        ([[1.0], [1.0]], {"task_type": "multiple_choice"}, {"choice": 0}, 0.0),
    ],
)
def test_answers_and_margins(
    backbone: Backbone,
    logits: list[list[float]],
    changes: dict[str, Any],
    answer: dict[str, Any],
    margin: float | None,
) -> None:
    one = result(backbone, *logits, fields={"premise": "p", "choices": ["x", "y"]}, **changes)
    assert content_of(one).answer == answer
    assert margin_of(one) == pytest.approx(margin, abs=1e-6)


def test_the_least_certain_token_decides_and_special_tokens_do_not(backbone: Backbone) -> None:
    logits = [[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
    spans = (None, (0, 3), (4, 7), None)
    ner = {"task_type": "token_classification"}
    one = result(backbone, logits, fields=("Zoë Ulm",), spans=spans, **ner)
    assert content_of(one).answer == {"entities": [{"start": 4, "end": 7, "label": "thing"}]}
    weights = np.exp([0.0, 2.0, 0.0])
    assert margin_of(one) == pytest.approx((weights[1] - weights[0]) / weights.sum(), abs=1e-6)
    empty = result(backbone, logits[:1], fields=(" ",), spans=(None,), **ner)
    assert margin_of(empty) is None


def test_contents_keep_unicode_readable(backbone: Backbone) -> None:
    data = content_of(result(backbone, fields=("żółw 🐢",))).to_bytes()
    assert "żółw 🐢".encode() in data
    assert json.loads(data)["fields"] == {"text": "żółw 🐢"}

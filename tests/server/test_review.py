"""The list of inputs to label next, over HTTP."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import COMMAND_LINE, AnswerStore, FeedbackRule, FeedbackSettings
from prefixes.registry.recorded_answer_rows import Disagreement, NewAnswer
from prefixes.registry.tables import now
from server.feedback.contents import AnswerContent
from server.feedback.sealing import Sealer, new_key
from tests.server.management import manage
from tests.server.rest import Rest, serving

PATH = "/tenants/acme/prefixes/mood/review"
TEXTS = (
    "Where is my card?",
    "Please cancel the order from Monday",
    "Wake me at seven tomorrow morning",
    "Żółw 🐢 idzie do domu",
    "我的卡在哪里?",
    "This film was a complete waste of time",
)


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    with serving(tmp_path, backbone) as running:
        rule = FeedbackRule(is_enabled=True)
        FeedbackSettings(running.registry.database).set("acme", rule, by=COMMAND_LINE)
        yield running


def store_of(rest: Rest) -> AnswerStore:
    return AnswerStore(rest.registry.database, max_bytes=10**7)


def record(
    rest: Rest,
    texts: Sequence[str],
    margins: Sequence[float],
    *,
    prefix: str = "r",
    sealer: Sealer | None = None,
) -> None:
    answers = []
    for place, (text, margin) in enumerate(zip(texts, margins, strict=True)):
        content = AnswerContent({"text": text}, {"label": "bad"}, [("bad", 0.6), ("good", 0.4)])
        sealed = (sealer or Sealer()).seal(content.to_bytes())
        moment = now() + timedelta(seconds=1)
        answers.append(NewAnswer("acme", "mood", 1, f"{prefix}{place}", 0, moment, sealed, margin))
    assert store_of(rest).add(answers) == len(answers)


def give(rest: Rest, request_id: str, label: str, *, is_review: bool = False) -> None:
    body = {"request_id": request_id, "label": label, "is_review": is_review}
    manage(rest, "POST", "/feedback", "acme", json=body)


def listed(rest: Rest, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = manage(rest, "GET", f"{PATH}{query}", "acme")
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [item["request_id"] for item in found["items"]]


def test_reasons_come_in_order_with_all_that_a_reviewer_needs(rest: Rest) -> None:
    record(rest, TEXTS, (0.5, 0.1, 0.9, 0.8, 0.1, 0.7))
    give(rest, "r3", "good")
    give(rest, "r2", "bad")
    store_of(rest).note_disagreements([Disagreement("acme", "r0", 0, 2)])
    found = listed(rest)
    reasons = {item["request_id"]: item["reason"] for item in found["items"]}
    assert list(reasons.items()) == [
        ("r3", "contradicted"),
        ("r0", "disagreement"),
        ("r1", "low_margin"),
        ("r4", "low_margin"),
        ("r5", "low_margin"),
    ]
    first, second, *_ = found["items"]
    assert (first["feedback"], first["answer"]) == ({"label": "good"}, {"label": "bad"})
    assert (second["feedback"], second["other_model"]) == (None, "acme/mood@2")
    assert first["input"] == {"text": TEXTS[3]}
    assert first["scores"] == [{"label": "bad", "score": 0.6}, {"label": "good", "score": 0.4}]
    assert (found["next"], found["num_duplicates"], found["num_unreadable"]) == (None, 0, 0)


def test_what_a_reviewer_has_answered_leaves_the_list(rest: Rest) -> None:
    record(rest, TEXTS[:2], (0.5, 0.1))
    give(rest, "r0", "good")
    assert ids(listed(rest)) == ["r0", "r1"]
    give(rest, "r0", "good", is_review=True)
    assert ids(listed(rest)) == ["r1"]
    give(rest, "r1", "bad", is_review=True)
    assert ids(listed(rest)) == []


def test_of_near_duplicates_one_is_listed_and_none_of_labeled_texts(rest: Rest) -> None:
    record(rest, [*TEXTS[:3], "where is my CARD", "WHERE is my card!"], (0.5, 0.1, 0.2, 0.3, 0.4))
    found = listed(rest)
    assert (ids(found), found["num_duplicates"]) == (["r1", "r2", "r3"], 2)
    give(rest, "r3", "bad", is_review=True)
    found = listed(rest)
    assert (ids(found), found["num_duplicates"]) == (["r1", "r2"], 2)


def test_pages_have_no_gaps_when_answers_are_given_between_them(rest: Rest) -> None:
    record(rest, TEXTS, (0.1,) * 6)  # all equal: the id decides
    first = listed(rest, "?limit=2")
    assert ids(first) == ["r0", "r1"]
    give(rest, "r1", "bad")
    give(rest, "r2", "good", is_review=True)
    second = manage(rest, "GET", first["next"].removeprefix("/v1"), "acme")
    assert ids(second) == ["r3", "r4"]
    third = manage(rest, "GET", second["next"].removeprefix("/v1"), "acme")
    assert (ids(third), third["next"]) == (["r5"], None)


@pytest.mark.parametrize("after", ["x", "3_0_1", "2_--1_1", "2_1e9999_1", "0_-1_" + "9" * 30])
def test_what_is_no_place_in_the_list_is_rejected_or_is_its_end(rest: Rest, after: str) -> None:
    record(rest, TEXTS[:1], (0.1,))
    response = rest.call("GET", f"/v1{PATH}?after={after}", "acme")
    assert response.status_code in {200, 422}
    assert after != "x" or response.status_code == 422


def test_a_task_without_answers_has_an_empty_list(rest: Rest) -> None:
    assert listed(rest)["items"] == []


def test_a_real_answer_can_be_reviewed_at_once(rest: Rest) -> None:
    body = {"model": "mood", "input": "good film"}
    response = rest.call("POST", "/v1/classify", "acme", json=body)
    (item,) = listed(rest)["items"]
    assert item["request_id"] == response.headers["x-request-id"]
    (result,) = response.json()["results"]
    assert item["answer"] == {"label": result["label"]}
    scores = [one["score"] for one in result["scores"]]
    assert item["margin"] == pytest.approx(scores[0] - scores[1], abs=1e-6)


class TestEncrypted:
    @pytest.fixture(autouse=True)
    def _needs_the_package(self) -> None:
        pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")

    def test_texts_of_a_missing_key_are_left_out_and_counted(self, rest: Rest) -> None:
        record(rest, TEXTS[:2], (0.1, 0.2), prefix="old", sealer=Sealer([new_key()]))
        response = rest.call("GET", f"/v1{PATH}", "acme")
        assert (response.status_code, response.json()["code"]) == (500, "feedback_unreadable")
        record(rest, TEXTS[2:4], (0.1, 0.2))
        found = listed(rest)
        assert (ids(found), found["num_unreadable"]) == (["r0", "r1"], 2)

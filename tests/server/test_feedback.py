"""Feedback over HTTP, of a server with the real engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import COMMAND_LINE, Canaries, CanaryPlan, Sharing
from server.engine.recording.answers import NUM_SCORES
from server.feedback.sealing import new_key
from server.settings import Settings
from tests.factories import make_prefix
from tests.server.management import issue, manage
from tests.server.rest import Rest, put, serving, until

ENABLED = {"is_enabled": True}


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    with serving(tmp_path, backbone) as running:
        yield running


@pytest.fixture
def recorded(rest: Rest) -> Rest:
    """A server on which acme records all answers."""
    manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=ENABLED)
    return rest


def ask(rest: Rest, request_id: str, *texts: Any, model: str = "mood", key: str = "acme") -> Any:
    response = rest.call(
        "POST",
        "/v1/predict",
        key,
        json={"model": model, "input": list(texts)},
        headers={"X-Request-Id": request_id},
    )
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"] == request_id
    return response.json()["results"]


def give(rest: Rest, request_id: str, key: str = "acme", **body: Any) -> httpx.Response:
    return rest.call("POST", "/v1/feedback", key, json={"request_id": request_id, **body})


def stored(rest: Rest, tenant: str = "acme") -> tuple[int, int]:
    state = manage(rest, "GET", f"/tenants/{tenant}/feedback")
    return state["num_answers"], state["num_with_feedback"]


def test_feedback_on_an_answer_can_be_sent_at_once(recorded: Rest) -> None:
    first, second = ask(recorded, "r1", "good film", "żółw 🐢")
    wrong = {"bad": "good", "good": "bad"}[first["label"]]
    response = give(recorded, "r1", label=wrong)
    assert response.json() == {
        "request_id": "r1",
        "index": 0,
        "model": "acme/mood@1",
        "is_contradicted": True,
    }
    assert not give(recorded, "r1", index=1, label=second["label"]).json()["is_contradicted"]
    assert stored(recorded) == (2, 2)


def test_feedback_is_retracted_as_if_it_had_not_been_sent(recorded: Rest) -> None:
    (answer,) = ask(recorded, "r1", "good film")
    recorded.call("DELETE", "/v1/feedback/r1", "acme")  # the answer is found before it is written
    before = manage(recorded, "GET", "/tenants/acme/feedback")
    wrong = {"bad": "good", "good": "bad"}[answer["label"]]
    listed = manage(recorded, "GET", "/tenants/acme/prefixes/mood/review", "acme")
    assert give(recorded, "r1", label=wrong, is_review=True).status_code == 200
    assert manage(recorded, "GET", "/tenants/acme/prefixes/mood/review", "acme") != listed
    for _ in range(2):  # the second time, there is nothing to retract
        assert recorded.call("DELETE", "/v1/feedback/r1", "acme").status_code == 204
        assert manage(recorded, "GET", "/tenants/acme/feedback") == before
        assert manage(recorded, "GET", "/tenants/acme/prefixes/mood/review", "acme") == listed
    for path, status in (("r1?index=1", 404), ("r2", 404), ("r1?index=-1", 422)):
        assert recorded.call("DELETE", f"/v1/feedback/{path}", "acme").status_code == status
    assert recorded.call("DELETE", "/v1/feedback/r1", "zoo").status_code == 404


def test_every_task_type_with_answers_takes_feedback(recorded: Rest, backbone: Backbone) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "topics": {
            "problem_type": "multi_label_classification", "labels": ("art", "sport", "war"),
        },
        "stars": {"problem_type": "regression", "labels": ("stars",)},
        "things": {"task_type": "token_classification"},
        "facts": {"task_type": "question_answering"},
        "causes": {"task_type": "multiple_choice"},
    }  # fmt: skip
    for task, changes in kinds.items():
        put(recorded.registry, f"acme/{task}", make_prefix(backbone.fingerprint, **changes))
    question = {"question": "Where?", "context": "Zoë lives in Ulm"}
    asked: dict[str, tuple[Any, dict[str, Any]]] = {
        "topics": ("a text", {"labels": ["war"]}),
        "stars": ("a text", {"value": 4.5}),
        "things": ("Zoë 🐢", {"entities": [{"start": 4, "end": 5, "label": "thing"}]}),
        "facts": (question, {"answer": {"start": 13, "end": 16}}),
        "causes": ({"premise": "p", "choices": ["a", "b"]}, {"choice": 1}),
    }
    for task, (item, right) in asked.items():
        ask(recorded, task, item, model=task)
        response = give(recorded, task, **right)
        assert response.status_code == 200, response.text
    assert stored(recorded) == (5, 5)


def test_what_does_not_fit_the_task_is_rejected_and_changes_nothing(recorded: Rest) -> None:
    ask(recorded, "r1", "good film")
    for body, detail in (
        ({"label": "godo"}, "did you mean 'good'"),
        ({"labels": ["good"]}, "one member, `label`"),
        ({}, "found: none"),
    ):
        response = give(recorded, "r1", **body)
        assert (response.status_code, response.json()["code"]) == (422, "feedback_rejected")
        assert detail in response.json()["detail"]
    assert give(recorded, "r1", label=5).status_code == 422
    assert stored(recorded) == (1, 0)


def test_unknown_and_foreign_requests_are_not_there(recorded: Rest) -> None:
    ask(recorded, "r1", "good film")
    answers = [
        give(recorded, "r2", label="good"),
        give(recorded, "r1", index=1, label="good"),
        give(recorded, "r1", "zoo", label="good"),
        give(recorded, "r1", "operator", label="good"),
        give(recorded, "\x00", label="good"),
    ]
    assert {(one.status_code, one.json()["code"]) for one in answers} == {(404, "answer_not_found")}
    assert (
        answers[2].json()["detail"]
        == give(recorded, "r1", "operator", label="good").json()["detail"]
    )


def test_only_answers_of_the_tenant_to_its_own_tasks_are_recorded(
    rest: Rest, backbone: Backbone
) -> None:
    ask(rest, "before", "good film")
    manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=ENABLED)
    put(rest.registry, "zoo/shared", make_prefix(backbone.fingerprint, seed=9))
    Sharing(rest.registry.database).add("zoo", "shared", "acme", by=COMMAND_LINE)
    ask(rest, "others", "good film", model="zoo/shared")
    ask(rest, "public", "good film", model="examples/mood")
    ask(rest, "foreign", "good film", model="examples/mood", key="zoo")
    vectors = {"model": "examples/vectors", "input": "good"}
    assert rest.call("POST", "/v1/embeddings", "acme", json=vectors).status_code == 200
    ids = {"model": "mood", "input": [[5, 6]]}
    assert rest.call("POST", "/classify", "acme", json=ids).status_code == 200
    ask(rest, "own", "good film")
    assert give(rest, "own", label="good").status_code == 200
    assert stored(rest) == (1, 1)
    manage(rest, "PUT", "/tenants/acme/feedback", "acme", json={"is_enabled": False})
    ask(rest, "after", "good film")
    assert give(rest, "after", label="good").status_code == 404
    assert stored(rest) == (1, 1)


def test_a_share_of_the_requests_is_recorded(rest: Rest) -> None:
    rule = {"is_enabled": True, "sample_percent": 30}
    manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=rule)
    names = [f"r{number}" for number in range(40)]
    for name in names:
        ask(rest, name, "good film")
    found = {name: give(rest, name, label="good").status_code for name in names}
    assert 2 <= list(found.values()).count(200) <= 24
    for name in names[:5]:  # the same request once more
        ask(rest, name, "good film")
        assert give(rest, name, label="good").status_code == found[name]


def test_what_is_stored_is_deleted_by_task_and_by_tenant(
    recorded: Rest, backbone: Backbone
) -> None:
    ask(recorded, "r1", "good film", {"model": "pair", "text_a": "a", "text_b": "b"})
    give(recorded, "r1", label="good")
    path = "/tenants/acme/prefixes/mood/feedback"
    assert manage(recorded, "DELETE", path, "acme") == {"num_answers": 1}
    assert stored(recorded) == (1, 0)
    ask(recorded, "r2", "good film")
    assert manage(recorded, "DELETE", "/tenants/acme/feedback", "acme")["num_answers"] >= 1
    recorded.call("POST", "/v1/feedback", "acme", json={"request_id": "r2", "label": "good"})
    assert stored(recorded) == (0, 0)
    events = manage(recorded, "GET", "/audit?tenant=acme")["events"]
    kinds = [event["action"] for event in events]
    assert kinds[:3] == ["feedback.delete", "feedback.delete", "feedback.settings"]
    assert "good film" not in json.dumps(events)


def test_the_operator_limits_the_retention_time(backbone: Backbone, tmp_path: Path) -> None:
    with serving(tmp_path, backbone, max_feedback_days=10) as rest:
        response = rest.call(
            "PUT", "/v1/tenants/acme/feedback", "acme", json={**ENABLED, "retention_days": 11}
        )
        assert (response.status_code, response.json()["code"]) == (422, "feedback_rejected")
        rule = {**ENABLED, "retention_days": 10}
        state = manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=rule)
        assert (state["retention_days"], state["is_encrypted"]) == (10, False)


def test_a_default_above_the_operators_maximum_is_lowered(
    backbone: Backbone, tmp_path: Path
) -> None:
    with serving(tmp_path, backbone, max_feedback_days=2) as rest:
        state = manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=ENABLED)
        assert state["retention_days"] == 2


def test_a_key_for_inference_alone_may_send_feedback_and_nothing_else(recorded: Rest) -> None:
    recorded.keys["app"] = issue(recorded, "acme")["key"]
    ask(recorded, "r1", "good film", key="app")
    assert give(recorded, "r1", "app", label="good").status_code == 200
    for method, path in (
        ("GET", "/v1/tenants/acme/feedback"),
        ("DELETE", "/v1/tenants/acme/feedback"),
    ):
        assert recorded.call(method, path, "app").status_code == 403


def test_answers_that_were_given_are_written_as_the_server_stops(
    backbone: Backbone, tmp_path: Path
) -> None:
    with serving(tmp_path, backbone) as rest:
        manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=ENABLED)
        ask(rest, "r1", "good film")
        registry = rest.registry
    from prefixes.registry import AnswerStore, open_registry

    registry = open_registry(tmp_path)
    found = AnswerStore(registry.database, max_bytes=1).find("acme", "r1", 0)
    content = json.loads(found.content.data)
    assert content["fields"] == {"text": "good film"}
    assert {label for label, _ in content["scores"]} == {"bad", "good"}
    registry.close()


def test_of_hundreds_of_labels_the_best_are_recorded(recorded: Rest, backbone: Backbone) -> None:
    labels = tuple(f"étiquette {number}" for number in range(300))
    put(recorded.registry, "acme/many", make_prefix(backbone.fingerprint, labels=labels))
    (result,) = ask(recorded, "r1", "good film", model="many")
    give(recorded, "r1", label=labels[7])
    from prefixes.registry import AnswerStore

    found = AnswerStore(recorded.registry.database, max_bytes=1).find("acme", "r1", 0)
    scores = json.loads(found.content.data)["scores"]
    assert [label for label, _ in scores] == [one["label"] for one in result["scores"][:NUM_SCORES]]


def test_disagreements_with_the_shadow_are_noted(recorded: Rest, backbone: Backbone) -> None:
    from prefixes.registry import AnswerStore

    registry = recorded.registry
    for seed in range(10, 16):
        put(registry, "acme/mood", make_prefix(backbone.fingerprint, seed=seed))
    canaries = Canaries(registry.database)
    texts = [f"film number {number}" for number in range(20)]
    live = [one["label"] for one in ask(recorded, "live", *texts)]
    other = next(
        version
        for version in range(1, 7)
        if [one["label"] for one in ask(recorded, f"v{version}", *texts, model=f"mood@{version}")]
        != live
    )
    canaries.set("acme", "mood", "live", CanaryPlan(other, 0, 100), by=COMMAND_LINE)
    ask(recorded, "compared", *texts)
    store = AnswerStore(registry.database, max_bytes=1)

    def numbers() -> list[int | None]:
        give(recorded, "nothing", label="good")  # writes what was collected
        return [store.find("acme", "compared", place).other_version for place in range(20)]

    until(lambda: other in numbers())


class TestEncrypted:
    @pytest.fixture(autouse=True)
    def _needs_the_package(self) -> None:
        pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")

    def test_texts_and_feedback_are_encrypted_and_a_wrong_key_disturbs_nothing_else(
        self, backbone: Backbone, tmp_path: Path
    ) -> None:
        old, new = new_key(), new_key()
        with serving(tmp_path, backbone, feedback_keys=old) as rest:
            state = manage(rest, "PUT", "/tenants/acme/feedback", "acme", json=ENABLED)
            assert state["is_encrypted"]
            ask(rest, "r1", "a secret film", "another secret")
            assert give(rest, "r1", label="good").status_code == 200
        assert not any(b"secret film" in path.read_bytes() for path in files(tmp_path))
        with serving(tmp_path, backbone, feedback_keys=new) as rest:
            response = give(rest, "r1", index=1, label="good")
            assert (response.status_code, response.json()["code"]) == (500, "feedback_unreadable")
            assert "POLYPREFIX_FEEDBACK_KEYS" in response.json()["detail"]
            ask(rest, "r2", "good film")
            assert give(rest, "r2", label="good").status_code == 200
        with serving(tmp_path, backbone, feedback_keys=f"{new},{old}") as rest:
            for request_id, index in (("r1", 1), ("r2", 0)):
                assert give(rest, request_id, index=index, label="good").status_code == 200


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_secrets_are_not_printed() -> None:
    pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")
    key = new_key()
    assert key not in repr(Settings.load(feedback_keys=key))

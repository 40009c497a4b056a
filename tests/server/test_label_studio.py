"""Label Studio's protocol for machine learning backends."""

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.management import issue, manage
from tests.server.rest import Rest, put, serving

CHOICES = """<View><!-- a comment -->
  <Text name="review" value="$body"/>
  <Choices name="mood" toName="review"><Choice value="bad"/><Choice value="good"/></Choices>
</View>"""
MANY = CHOICES.replace("<Choices ", '<Choices choice="multiple" ').replace(
    '<Choice value="bad"/><Choice value="good"/>',
    '<Choice value="art"/><Choice value="sport"/><Choice value="war"/>',
)
LABELS = """<View>
  <Labels name="names" toName="text"><Label value="thing"/></Labels>
  <Text name="text" value="$text"/>
</View>"""
NUMBER = '<View><Text name="text" value="$text"/><Number name="stars" toName="text"/></View>'
EMOJI = "Zoë 🐢🐢 lives in Ulm"


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    with serving(tmp_path, backbone) as running:
        kinds: dict[str, dict[str, Any]] = {
            "topics": {
                "problem_type": "multi_label_classification",
                "labels": ("art", "sport", "war"),
            },
            "stars": {"problem_type": "regression", "labels": ("stars",)},
            "things": {"task_type": "token_classification"},
            "facts": {"task_type": "question_answering"},
        }
        for task, changes in kinds.items():
            put(running.registry, f"acme/{task}", make_prefix(backbone.fingerprint, **changes))
        manage(running, "PUT", "/tenants/acme/feedback", "acme", json={"is_enabled": True})
        yield running


def call(
    rest: Rest, path: str, body: dict[str, Any] | None = None, *, key: str = "acme"
) -> httpx.Response:
    """Call as Label Studio does, with the key as the password of basic authentication."""
    return httpx.request(
        "GET" if body is None else "POST",
        f"{rest.url}/label-studio/acme/{path}",
        json=body,
        auth=("label-studio", rest.keys[key]),
        timeout=30,
    )


def predict(rest: Rest, task: str, config: str, *data: dict[str, Any]) -> list[dict[str, Any]]:
    tasks = [{"id": number, "data": one} for number, one in enumerate(data)]
    body = {
        "tasks": tasks,
        "label_config": config,
        "project": "1.1700000000",
        "model_version": None,
        "params": {"login": None, "password": None, "context": None},
    }
    response = call(rest, f"{task}/predict", body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def event(
    task: str, config: str, regions: list[dict[str, Any]], action: str = "ANNOTATION_CREATED"
) -> dict[str, Any]:
    return {
        "action": action,
        "annotation": {"id": 5, "result": regions, "was_cancelled": False, "lead_time": 2.5},
        "task": {"id": 7, "data": {"text": task, "body": task}, "is_labeled": True},
        "project": {"id": 1, "title": "Mood", "label_config": config},
    }


def send(rest: Rest, task: str, body: dict[str, Any], **numbers: str) -> httpx.Response:
    """Send an event in which texts are replaced by numbers that Python would not write."""
    content = json.dumps(body)
    for name, number in numbers.items():
        content = content.replace(f'"{name}"', number)
    return httpx.post(
        f"{rest.url}/label-studio/acme/{task}/webhook",
        content=content,
        headers={"Content-Type": "application/json"},
        auth=("label-studio", rest.keys["acme"]),
        timeout=30,
    )


def choice(*labels: str) -> list[dict[str, Any]]:
    value = {"choices": list(labels)}
    return [{"from_name": "mood", "to_name": "review", "type": "choices", "value": value}]


def stored(rest: Rest, task: str) -> list[Any]:
    services = rest.app.state.services
    rows = services.answers.labeled("acme", task)
    return [(json.loads(row.content.data)["fields"], json.loads(row.feedback.data)) for row in rows]


def test_health_and_setup_name_the_version(rest: Rest) -> None:
    assert call(rest, "mood/health").json() == {"status": "UP", "model_class": "acme/mood@1"}
    body = {
        "project": "1.1700000000",
        "schema": CHOICES,
        "hostname": "http://localhost:8080",
        "access_token": "a token of Label Studio",
        "extra_params": None,
    }
    assert call(rest, "mood/setup", body).json() == {"model_version": "acme/mood@1"}
    assert call(rest, "mood@1/health").status_code == 200
    assert call(rest, "mood@9/health").status_code == 404


def test_the_key_may_be_the_password_or_a_bearer_token(rest: Rest) -> None:
    url = f"{rest.url}/label-studio/acme/mood/health"
    header = {"Authorization": f"Bearer {rest.keys['acme']}"}
    assert httpx.get(url, headers=header).status_code == 200
    for wrong in (None, ("user", "wrong"), ("user", ""), (rest.keys["acme"], "")):
        assert httpx.get(url, auth=wrong).status_code in {401, 404}
    assert httpx.get(url, headers={"Authorization": "Basic %%%"}).status_code == 401
    elsewhere = httpx.get(f"{rest.url}/v1/models", auth=("user", rest.keys["acme"]))
    assert elsewhere.status_code == 401


def test_texts_are_classified(rest: Rest) -> None:
    one, other = predict(rest, "mood", CHOICES, {"body": "good film"}, {"text": "żółw", "body": 5})
    served = manage(
        rest, "POST", "/classify", "acme", json={"model": "mood", "input": ["good film", "żółw"]}
    )
    for found, expected in zip((one, other), served["results"], strict=True):
        assert found["model_version"] == "acme/mood@1"
        assert found["result"] == choice(expected["label"])
        assert found["score"] == pytest.approx(expected["scores"][0]["score"], abs=1e-4)


def test_several_labels_numbers_and_entities(rest: Rest) -> None:
    (many,) = predict(rest, "topics", MANY, {"body": "a text"})
    labels = manage(rest, "POST", "/classify", "acme", json={"model": "topics", "input": "a text"})[
        "results"
    ][0]["labels"]
    assert many["result"] == (choice(*labels) if labels else [])
    (number,) = predict(rest, "stars", NUMBER, {"text": "a text"})
    assert number["result"][0]["value"].keys() == {"number"}
    assert number["score"] is None
    (named,) = predict(rest, "things", LABELS, {"text": EMOJI})
    for region in named["result"]:
        value = region["value"]
        assert EMOJI[value["start"] : value["end"]] == value["text"]
        assert value["labels"] == ["thing"]


def test_labels_that_the_interface_lacks_are_left_out(rest: Rest) -> None:
    config = CHOICES.replace('"bad"', '"terrible"').replace('"good"', '"great"')
    (found,) = predict(rest, "mood", config, {"body": "good film"})
    assert found["result"] == []
    assert call(rest, "mood/predict", {"tasks": [], "label_config": CHOICES}).json() == {
        "results": [],
        "model_version": None,
    }


@pytest.mark.parametrize(
    ("task", "config", "data", "detail"),
    [
        ("mood", "<View>", {"text": "x"}, "not valid XML"),
        ("mood", '<!DOCTYPE x [<!ENTITY a "b">]><View/>', {"text": "x"}, "document type"),
        ("mood", LABELS, {"text": "x"}, "has no <Choices>"),
        ("mood", "<View>" + " " * 1_000_000, {"text": "x"}, "at most 1000000 are allowed"),
        ("mood", '<View><Choices name="a" toName="b"/></View>', {"text": "x"}, "toName"),
        ("mood", CHOICES, {"other": "x"}, "has the keys other; expected text"),
        ("mood", CHOICES, {"body": 5}, "`data.text` must be a text"),
        ("pair", CHOICES, {"body": "x"}, "expected text_a, text_b"),
        ("facts", CHOICES, {"body": "x"}, "cannot be labeled in Label Studio"),
    ],
)
def test_what_does_not_fit_is_named(
    rest: Rest, task: str, config: str, data: dict[str, Any], detail: str
) -> None:
    body = {"tasks": [{"id": 1, "data": data}], "label_config": config}
    response = call(rest, f"{task}/predict", body)
    assert response.status_code == 422, response.text
    assert detail in response.json()["detail"]


def test_annotations_become_feedback_and_updates_replace_them(rest: Rest) -> None:
    response = call(rest, "mood/webhook", event("żółw 🐢", CHOICES, choice("good")))
    assert (response.status_code, response.json()) == (201, {"result": "stored"})
    assert stored(rest, "mood") == [({"text": "żółw 🐢"}, {"label": "good"})]
    update = event("żółw 🐢", CHOICES, choice("bad"), "ANNOTATION_UPDATED")
    call(rest, "mood/webhook", update)
    assert stored(rest, "mood") == [({"text": "żółw 🐢"}, {"label": "bad"})]
    assert manage(rest, "GET", "/tenants/acme/prefixes/mood/review", "acme")["items"] == []


def test_other_kinds_of_annotations(rest: Rest) -> None:
    call(rest, "topics/webhook", event("a text", MANY, choice("war", "art")))
    assert stored(rest, "topics")[0][1] == {"labels": ["art", "war"]}
    call(rest, "topics/webhook", event("a text", MANY, []))
    assert stored(rest, "topics")[0][1] == {"labels": []}
    number = [{"from_name": "stars", "to_name": "text", "type": "number", "value": {"number": 4}}]
    call(rest, "stars/webhook", event("a text", NUMBER, number))
    assert stored(rest, "stars")[0][1] == {"value": 4.0}


@pytest.mark.parametrize("shift", [0, 2])
def test_entities_are_counted_in_characters_or_in_utf_16_units(rest: Rest, shift: int) -> None:
    value = {"start": 16 + shift, "end": 19 + shift, "text": "Ulm", "labels": ["thing"]}
    region = {"from_name": "names", "to_name": "text", "type": "labels", "value": value}
    response = call(rest, "things/webhook", event(EMOJI, LABELS, [region]))
    assert response.status_code == 201, response.text
    assert stored(rest, "things")[0][1] == {
        "entities": [{"start": 16, "end": 19, "label": "thing"}]
    }


def test_entities_whose_text_is_elsewhere_are_rejected(rest: Rest) -> None:
    value = {"start": 0, "end": 3, "text": "Ulm", "labels": ["thing"]}
    region = {"from_name": "names", "to_name": "text", "type": "labels", "value": value}
    response = call(rest, "things/webhook", event(EMOJI, LABELS, [region]))
    assert response.status_code == 422
    assert "no valid answer" in response.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"project": None}, "input_rejected"),
        ({"task": None}, "input_rejected"),
        ({"annotation": {"result": choice("god")}}, "feedback_rejected"),
        ({"annotation": {"result": []}}, "input_rejected"),
        ({"annotation": {"result": choice("good", "bad")}}, "input_rejected"),
        ({"annotation": {"result": [{"from_name": "mood", "value": 5}]}}, "input_rejected"),
    ],
)
def test_events_that_do_not_fit_are_rejected(rest: Rest, change: dict[str, Any], code: str) -> None:
    response = call(rest, "mood/webhook", {**event("x", CHOICES, choice("good")), **change})
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert stored(rest, "mood") == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("NaN", "feedback_rejected"),
        ("Infinity", "feedback_rejected"),
        ('"nan"', "feedback_rejected"),
        ("1e999", "feedback_rejected"),
        ("1" + "0" * 400, "input_rejected"),
    ],
)
def test_numbers_must_be_finite(rest: Rest, value: str, code: str) -> None:
    number = [{"from_name": "stars", "value": {"number": "VALUE"}}]
    response = send(rest, "stars", event("a text", NUMBER, number), VALUE=value)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert stored(rest, "stars") == []


@pytest.mark.parametrize("value", ["-5", "1e999", "NaN", "1" + "0" * 400])
def test_entities_must_start_within_the_text(rest: Rest, value: str) -> None:
    region = {"from_name": "names", "value": {"start": "START", "end": 3, "labels": ["thing"]}}
    response = send(rest, "things", event("a text", LABELS, [region]), START=value)
    assert response.status_code == 422, response.text
    assert "overlaps" not in response.text


def test_ids_that_are_too_large_for_the_database_are_left_out(rest: Rest) -> None:
    body = event("a text", CHOICES, choice("good"))
    body["task"]["id"] = "ID"
    assert send(rest, "mood", body, ID="1" + "0" * 400).status_code == 201
    (row,) = rest.app.state.services.answers.labeled("acme", "mood")
    assert row.request_id == "label-studio.1.0"


def test_other_events_and_skipped_tasks_are_ignored(rest: Rest) -> None:
    skipped = event("x", CHOICES, [])
    skipped["annotation"]["was_cancelled"] = True
    for body in ({"action": "PROJECT_UPDATED"}, {"action": "ANNOTATIONS_DELETED"}, skipped):
        response = call(rest, "mood/webhook", body)
        assert (response.status_code, response.json()) == (201, {"result": "ignored"})


def test_annotations_need_the_opt_in_and_the_role_upload(rest: Rest) -> None:
    rest.keys["app"] = issue(rest, "acme")["key"]
    body = event("x", CHOICES, choice("good"))
    assert call(rest, "mood/webhook", body, key="app").status_code == 403
    manage(rest, "PUT", "/tenants/acme/feedback", "acme", json={"is_enabled": False})
    response = call(rest, "mood/webhook", body)
    assert (response.status_code, response.json()["code"]) == (422, "feedback_rejected")
    assert "does not record answers" in response.text


def test_a_training_starts_on_the_annotations(rest: Rest) -> None:
    start = {"action": "START_TRAINING", "project": {"id": 1, "label_config": CHOICES}}
    assert call(rest, "mood/webhook", start).json()["code"] == "feedback_rejected"
    for number, label in enumerate(("good", "bad")):
        body = event(f"text {number}", CHOICES, choice(label))
        body["task"]["id"] = number
        call(rest, "mood/webhook", body)
    response = call(rest, "mood/webhook", start)
    assert response.status_code == 201, response.text
    path = response.json()["result"].removeprefix("/v1")
    training = manage(rest, "GET", path, "acme")
    assert (training["task"], training["state"]) == ("mood", "queued")
    rows = rest.folder / "trainings" / training["id"] / "train.jsonl"
    assert [json.loads(line) for line in rows.read_text().splitlines()] == [
        {"text": "text 0", "label": "good"},
        {"text": "text 1", "label": "bad"},
    ]


def test_trainings_that_label_studio_starts_replace_the_oldest(
    backbone: Backbone, tmp_path: Path
) -> None:
    with serving(tmp_path, backbone, max_kept_trainings_per_tenant=1) as rest:
        manage(rest, "PUT", "/tenants/acme/feedback", "acme", json={"is_enabled": True})
        call(rest, "mood/webhook", event("a text", CHOICES, choice("good")))
        start = {"action": "START_TRAINING"}
        first, second = (_started(rest, start) for _ in range(2))
        listed = manage(rest, "GET", "/tenants/acme/trainings", "acme")["trainings"]
        assert [one["links"]["self"] for one in listed] == [second]
        assert not (rest.folder / "trainings" / first.rpartition("/")[2]).exists()


def _started(rest: Rest, start: dict[str, Any]) -> str:
    """Start a training, cancel it, and return its path."""
    path: str = call(rest, "mood/webhook", start).json()["result"]
    manage(rest, "POST", path.removeprefix("/v1") + "/cancel", "acme")
    return path


class TestWithTheSdk:
    """The types of `label-studio-sdk`, which Label Studio's own backends use."""

    @pytest.fixture
    def sdk(self) -> Any:
        return pytest.importorskip(
            "label_studio_sdk.label_interface", reason="label-studio-sdk is not installed"
        )

    @pytest.mark.parametrize(
        ("task", "config", "data"),
        [
            ("mood", CHOICES, {"body": "good film"}),
            ("topics", MANY, {"body": "a text"}),
            ("things", LABELS, {"text": EMOJI}),
            ("stars", NUMBER, {"text": "a text"}),
        ],
    )
    def test_pre_annotations_are_valid_for_the_interface(
        self, rest: Rest, sdk: Any, task: str, config: str, data: dict[str, Any]
    ) -> None:
        from label_studio_sdk.label_interface.objects import PredictionValue

        interface = sdk.LabelInterface(config)
        found = predict(rest, task, config, data)
        for one in found:
            prediction = PredictionValue(**one).model_dump()
            assert prediction["result"] == one["result"]
            assert interface.validate_prediction(prediction)

    def test_sample_annotations_of_the_interface_become_feedback(
        self, rest: Rest, sdk: Any
    ) -> None:
        sample = sdk.LabelInterface(CHOICES).generate_sample_annotation()
        response = call(rest, "mood/webhook", event("a text", CHOICES, sample["result"]))
        assert response.status_code == 201, response.text
        assert stored(rest, "mood")[0][1]["label"] in {"bad", "good"}

    @pytest.mark.usefixtures("sdk")
    def test_the_example_writes_tasks_with_pre_annotations(
        self, rest: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts, output = tmp_path / "texts.jsonl", tmp_path / "tasks.json"
        texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("a", EMOJI, "c")))
        url = f"{rest.url}/label-studio/acme/mail"
        prefix = make_prefix(rest.app.state.services.backbone, labels=("ham", "spam"))
        put(rest.registry, "acme/mail", prefix)
        example = Path(__file__).parents[2] / "examples" / "label_studio.py"
        monkeypatch.setenv("POLYPREFIX_KEY", rest.keys["acme"])
        arguments = [str(example), str(texts), str(output), "--number", "2", "--url", url]
        monkeypatch.setattr(sys, "argv", arguments)
        runpy.run_path(str(example), run_name="__main__")
        tasks = json.loads(output.read_text())
        assert [task["data"]["text"] for task in tasks] == ["a", EMOJI]
        for task in tasks:
            (prediction,) = task["predictions"]
            assert prediction["model_version"] == "acme/mail@1"
            assert prediction["result"][0]["value"]["choices"][0] in {"ham", "spam"}

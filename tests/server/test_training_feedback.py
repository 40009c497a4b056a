"""Trainings on feedback: the form, and the rows that the training gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from prefixes.registry import COMMAND_LINE, FeedbackRule, FeedbackSettings
from prefixes.registry.recorded_answer_rows import NewAnswer
from prefixes.registry.tables import now
from server.feedback.contents import AnswerContent
from server.feedback.sealing import Sealer
from tests.server.command_line.caller import call
from tests.server.conftest import Serve
from tests.server.management import manage
from tests.server.rest import Rest

ROWS = b"text,label\ngood,yes\nbad,no\n"
PATH = "/v1/tenants/acme/trainings"


@pytest.fixture
def rest(serve: Serve) -> Rest:
    """A server on which two answers of acme/mood have feedback, one of them twice."""
    running, _ = serve(max_training_file_mib=1)
    rule = FeedbackRule(is_enabled=True)
    FeedbackSettings(running.registry.database).set("acme", rule, by=COMMAND_LINE)
    record(running, "żółw 🐢", "second", "third")
    give(running, "r1", "bad")
    give(running, "r0", "good")
    give(running, "r1", "good")
    return running


def record(rest: Rest, *texts: str) -> None:
    answers = []
    for place, text in enumerate(texts):
        content = AnswerContent({"text": text}, {"label": "bad"}).to_bytes()
        sealed = Sealer().seal(content)
        answers.append(NewAnswer("acme", "mood", 1, f"r{place}", 0, now(), sealed, 0.5))
    rest.app.state.services.answers.add(answers)


def give(rest: Rest, request_id: str, label: str) -> None:
    manage(rest, "POST", "/feedback", "acme", json={"request_id": request_id, "label": label})


def start(rest: Rest, *, file: bytes | None = ROWS, **data: Any) -> Any:
    parts: dict[str, Any] = {
        "task": (None, "mood"),
        **{name: (None, value) for name, value in data.items()},
    }
    if file is not None:
        parts["file"] = ("rows.csv", file)
    return rest.call("POST", PATH, "acme", files=parts)


def files_of(rest: Rest, training: dict[str, Any]) -> dict[str, bytes]:
    folder = rest.folder / "trainings" / training["id"]
    return {path.name: path.read_bytes() for path in folder.iterdir()}


EXPECTED = [{"text": "żółw 🐢", "label": "good"}, {"text": "second", "label": "good"}]


def lines_of(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def test_feedback_is_added_to_the_uploaded_rows(rest: Rest) -> None:
    found = files_of(rest, start(rest, feedback="add").json())
    assert found.keys() == {"train.csv", "feedback.jsonl"}
    assert lines_of(found["feedback.jsonl"]) == EXPECTED


def test_feedback_alone_takes_the_place_of_the_rows(rest: Rest) -> None:
    found = files_of(rest, start(rest, file=None, feedback="only").json())
    assert found.keys() == {"train.jsonl"}
    assert lines_of(found["train.jsonl"]) == EXPECTED


def test_without_the_option_feedback_is_not_used(rest: Rest) -> None:
    assert files_of(rest, start(rest).json()).keys() == {"train.csv"}


def test_a_new_task_has_no_feedback_to_add(rest: Rest) -> None:
    response = start(rest, feedback="add", task="new")
    assert files_of(rest, response.json()).keys() == {"train.csv"}


@pytest.mark.parametrize(
    ("how", "code", "detail"),
    [
        ({"feedback": "all"}, "invalid_request", "expected `none`, `add` or `only`"),
        ({"feedback": "only"}, "bad_upload", "has a `file`, but `feedback` is `only`"),
        ({"file": None}, "bad_upload", "has no `file`"),
        ({"file": None, "feedback": "add"}, "bad_upload", "has no `file`"),
        ({"file": None, "feedback": "only", "task": "pair"}, "feedback_rejected", "no feedback"),
        ({"file": None, "feedback": "only", "task": "new"}, "feedback_rejected", "no feedback"),
    ],
)
def test_mistakes_are_named_and_leave_no_folder(
    rest: Rest, how: dict[str, Any], code: str, detail: str
) -> None:
    response = start(rest, **how)
    assert response.status_code == 422, response.text
    assert response.json()["code"] == code
    assert detail in response.text
    folder = rest.folder / "trainings"
    assert not folder.exists() or not list(folder.iterdir())


def test_the_newest_feedback_is_used_up_to_the_maximum_size(rest: Rest) -> None:
    long = ["x" * 300_000 + str(number) for number in range(5)]
    record(rest, *long)
    for number in range(5):
        give(rest, f"r{number}", "good")
    found = files_of(rest, start(rest, file=None, feedback="only").json())
    texts = [row["text"] for row in lines_of(found["train.jsonl"])]
    assert texts == long[2:]


def test_the_command_line_exports_feedback(rest: Rest, tmp_path: Path) -> None:
    output = tmp_path / "feedback.jsonl"
    where = ("--store-folder", rest.folder)
    result = call("feedback", "export", "acme/mood", "-o", output, *where)
    assert result.output == f"Wrote 2 rows to {output}.\n"
    assert lines_of(output.read_bytes()) == EXPECTED
    assert call("feedback", "export", "acme/none", "-o", output, *where).code == 2


class TestEncrypted:
    @pytest.fixture(autouse=True)
    def _needs_the_package(self) -> None:
        pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")

    def test_unreadable_feedback_is_an_error_and_not_left_out(self, rest: Rest) -> None:
        from server.feedback.sealing import new_key

        content = AnswerContent({"text": "secret"}, {"label": "bad"}).to_bytes()
        sealer = Sealer([new_key()])
        answers = rest.app.state.services.answers
        answers.add([NewAnswer("acme", "mood", 1, "old", 0, now(), sealer.seal(content), 0.5)])
        right = sealer.seal(b'{"label": "good"}')
        found = answers.find("acme", "old", 0)
        answers.give(found, right, is_contradicted=True, is_review=False)
        response = start(rest, feedback="add")
        assert (response.status_code, response.json()["code"]) == (500, "feedback_unreadable")
        assert start(rest).status_code == 202

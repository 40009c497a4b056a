"""Text that is not valid Unicode is refused wherever it comes in, and never breaks a list."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from prefixes.errors import StoreUnavailable
from prefixes.registry.tables import trainings
from server.training_jobs.store import TrainingStore
from tests.server.conftest import Serve
from tests.server.rest import Rest
from tests.server.test_bad_requests import FIELDS, MODELS, ROUTES

TRAININGS = "/v1/tenants/acme/trainings"
HALF = r"a \ud800 b"
JSON = {"Content-Type": "application/json"}


def train(running: Rest, config: str) -> httpx.Response:
    return running.call(
        "POST",
        TRAININGS,
        "acme",
        files={"file": ("rows.csv", b"text,label\nx,a\ny,b\n")},
        data={"task": "mood", "config": config},
    )


def store(running: Rest, training_id: str, **columns: Any) -> None:
    with running.registry.database.write() as connection:
        connection.execute(update(trainings).where(trainings.c.id == training_id).values(**columns))


@ROUTES
@pytest.mark.parametrize("text", [f'"{HALF}"', f'["{HALF}"]', f'{{"{HALF}": "x"}}'])
def test_half_of_a_surrogate_pair_is_rejected_on_every_route(
    serve: Serve, route: str, text: str
) -> None:
    running, engine = serve()
    body = f'{{"model": "{MODELS.get(route, "examples/mood")}", "{FIELDS[route]}": {text}}}'
    found = running.call("POST", route, content=body.encode(), headers=JSON)
    assert found.status_code == 422, found.text
    assert found.json()["errors"][0]["field"].startswith(FIELDS[route])
    assert "half of a surrogate pair" in found.json()["detail"]
    assert engine.num_calls == 0


def test_a_whole_surrogate_pair_is_one_character(serve: Serve) -> None:
    running, _ = serve()
    body = rb'{"model": "examples/mood", "input": "good \ud83d\ude00"}'
    assert running.call("POST", "/v1/classify", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (f'{{"text_column": "{HALF}"}}', "config.text_column"),
        (f'{{"labels": ["a", "{HALF}"]}}', "config.labels[1]"),
        (f'{{"{HALF}": 1}}', "config"),
    ],
)
def test_half_of_a_surrogate_pair_in_a_configuration_is_rejected(
    serve: Serve, config: str, field: str
) -> None:
    running, _ = serve()
    found = train(running, config)
    assert found.status_code == 422, found.text
    assert found.json()["errors"][0]["field"] == field
    assert running.call("GET", TRAININGS, "acme").json()["trainings"] == []


def test_a_damaged_training_does_not_break_the_list(serve: Serve) -> None:
    running, _ = serve()
    ids = [train(running, "{}").json()["id"] for _ in range(3)]
    store(running, ids[0], config=json.dumps({"text_column": "\ud800"}))
    store(running, ids[1], result=json.dumps({"of": "another release"}), problem='{"\\ud800": 1}')
    listed = running.call("GET", TRAININGS, "acme")
    assert listed.status_code == 200, listed.text
    found = {one["id"]: one for one in listed.json()["trainings"]}
    assert list(found) == ids[::-1]
    assert found[ids[0]]["config"] == {"text_column": "\ufffd"}
    assert found[ids[1]]["result"] is None
    assert running.call("GET", f"{TRAININGS}/{ids[1]}", "acme").status_code == 200


@pytest.mark.parametrize("number", ["9" * 5000, "²", "-1", "x"])
def test_an_invalid_last_event_id_starts_at_the_first_event(serve: Serve, number: str) -> None:
    running, _ = serve()
    path = f"{TRAININGS}/{train(running, '{}').json()['id']}/events"
    headers = {"Last-Event-ID": number.encode("latin-1")}
    with (
        running.client("acme") as client,
        client.stream("GET", path, headers=headers) as events,  # type: ignore[arg-type]
    ):
        assert events.status_code == 200
        assert next(events.iter_lines()) == "event: state"


def test_an_id_with_a_nul_is_not_found(serve: Serve) -> None:
    running, _ = serve()
    assert running.call("GET", f"{TRAININGS}/%00", "acme").status_code == 404
    assert running.call("GET", f"{TRAININGS}?before=%00", "acme").status_code == 422


def test_finished_trainings_and_their_folders_are_bounded_per_tenant(serve: Serve) -> None:
    running, _ = serve(max_kept_trainings_per_tenant=3)
    ids = []
    for _ in range(8):
        training = train(running, "{}")
        assert training.status_code == 202, training.text
        ids.append(training.json()["id"])
        running.call("POST", training.json()["links"]["cancel"], "acme")
    listed = running.call("GET", TRAININGS, "acme").json()["trainings"]
    assert [one["id"] for one in listed] == ids[:-4:-1]
    assert {path.name for path in (running.folder / "trainings").iterdir()} == set(ids[-3:])


def test_a_training_is_queued_even_if_old_ones_cannot_be_removed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailable("the database is locked")

    monkeypatch.setattr(TrainingStore, "beyond_limit", fail)
    running, _ = serve()
    training = train(running, "{}")
    assert training.status_code == 202
    assert (running.folder / "trainings" / training.json()["id"] / "train.csv").is_file()

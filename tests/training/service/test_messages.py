"""The files that workers write, as JSON."""

import json
import math

import pytest

from training.service.protocol.events import Evaluation, Event, Progress
from training.service.protocol.messages import Success, parse_outcome


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_is_null_in_an_outcome(figure: float) -> None:
    outcome = Success(
        metric="f1", measured_on="test", num_rows=4, new=figure, live=figure, warnings=[]
    )
    written = json.loads(outcome.to_json())
    assert (written["new"], written["live"]) == (None, None)
    assert parse_outcome(outcome.to_json().encode()) == outcome


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_not_finite_is_null_in_an_event(figure: float) -> None:
    evaluation = Evaluation(
        step=1, epoch=0.5, train_loss=figure, loss=figure, metrics={"f1": figure, "accuracy": 0.5}
    )
    progress = Progress(
        step=1, total_steps=2, loss=figure, metric="f1", latest=evaluation, best=None
    )
    written = json.loads(Event.of_progress(progress, is_evaluated=True).lines())
    assert written["loss"] is None
    assert written["latest"]["train_loss"] is written["latest"]["loss"] is None
    assert written["latest"]["metrics"] == {"f1": None, "accuracy": 0.5}

# Generated from _async/feedback.py by generate_sync.py. Change that file instead.
"""Feedback: right answers, what is recorded, and what to label next."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polyprefix_client._sync.pages import items_of
from polyprefix_client._sync.transport import Transport
from polyprefix_client.management import FeedbackReceipt, FeedbackSettings, ReviewItem
from polyprefix_client.names import segment, task_path
from polyprefix_client.predictions import Prediction
from polyprefix_client.requests import Call, body_of, get, value_of


class Feedback:
    """Recorded answers of tenants, and the right answers to them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(
        self,
        answer: Prediction | ReviewItem | str,
        *,
        index: int = 0,
        label: str | None = None,
        labels: Sequence[str] | None = None,
        value: float | None = None,
        entities: Sequence[Mapping[str, Any]] | None = None,
        span: tuple[int, int] | None = None,
        choice: int | None = None,
        is_review: bool = False,
    ) -> FeedbackReceipt:
        """Send the right answer to an input. Give the one of the arguments that fits the task.

        Args:
            answer: the result, the item of a review, or the id of a request.
            index: position of the input, if `answer` is the id of a request.
            label: the right label.
            labels: the right labels.
            value: the right number.
            entities: all entities, each with `start`, `end` and `label`.
            span: `start` and `end` of the right answer in the context.
            choice: position of the right choice.
            is_review: whether a reviewer gives the answer.
        """
        place = _place(answer, index)
        right = {
            "label": label,
            "labels": None if labels is None else list(labels),
            "value": value,
            "entities": None if entities is None else [dict(one) for one in entities],
            "answer": None if span is None else {"start": span[0], "end": span[1]},
            "choice": choice,
        }
        body = {
            "request_id": place[0],
            "index": place[1],
            "is_review": is_review,
            **{name: one for name, one in right.items() if one is not None},
        }
        call = Call("POST", "/v1/feedback", json=body, is_idempotent=True)
        return value_of(self._transport.send(call), FeedbackReceipt)

    def retract(self, answer: Prediction | ReviewItem | str, *, index: int = 0) -> None:
        """Retract the right answer to an input. The recorded answer stays."""
        request_id, place = _place(answer, index)
        path = f"/v1/feedback/{segment(request_id)}"
        call = Call("DELETE", path, {"index": place}, is_idempotent=True)
        self._transport.send(call)

    def review(self, task: str) -> Iterator[ReviewItem]:
        """Yield the inputs to label next."""
        return items_of(self._transport, get(f"{task_path(task)}/review"), "items", ReviewItem)

    def settings(self, tenant: str) -> FeedbackSettings:
        """Show what a tenant records, and how much is stored."""
        return value_of(self._transport.send(get(_path(tenant))), FeedbackSettings)

    def set(
        self,
        tenant: str,
        *,
        is_enabled: bool,
        retention_days: float | None = None,
        sample_percent: float = 100.0,
    ) -> FeedbackSettings:
        """Record answers from now on, or stop."""
        body = {
            "is_enabled": is_enabled,
            "retention_days": retention_days,
            "sample_percent": sample_percent,
        }
        call = Call("PUT", _path(tenant), json=body, is_idempotent=True)
        return value_of(self._transport.send(call), FeedbackSettings)

    def delete(self, name: str) -> int:
        """Delete the recorded answers of a tenant or a task permanently; return their number."""
        path = f"{task_path(name)}/feedback" if "/" in name else _path(name)
        response = self._transport.send(Call("DELETE", path, is_idempotent=True))
        return int(body_of(response)["num_answers"])


def _place(answer: Prediction | ReviewItem | str, index: int) -> tuple[str, int]:
    """Return the id of the request and the position of the input in it."""
    return (answer, index) if isinstance(answer, str) else (answer.request_id, answer.index)


def _path(tenant: str) -> str:
    return f"/v1/tenants/{segment(tenant)}/feedback"

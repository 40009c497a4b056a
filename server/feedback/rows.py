"""Feedback as labeled rows to train on."""

import json

from prefixes.registry import AnswerStore
from server.feedback.contents import AnswerContent, to_bytes
from server.feedback.right_answers import row_of
from server.feedback.sealing import Sealer


def feedback_lines(
    store: AnswerStore, sealer: Sealer, tenant: str, task: str, *, max_bytes: int | None = None
) -> list[bytes]:
    """Return the rows of the feedback on a task as lines of JSON, the oldest feedback first.

    The oldest rows are left out if all together are longer than `max_bytes`.

    Raises:
        PrefixNotFound: when the task does not exist.
        FeedbackUnreadable: when a row cannot be read: training without it would go unnoticed.
    """
    lines: list[bytes] = []
    total = 0
    for recorded in reversed(store.labeled(tenant, task)):
        assert recorded.feedback is not None, "all of these have feedback"
        content = AnswerContent.parse(sealer.open(recorded.content))
        right = json.loads(sealer.open(recorded.feedback))
        line = to_bytes(row_of(content.fields, right)) + b"\n"
        total += len(line)
        if max_bytes is not None and total > max_bytes:
            break
        lines.append(line)
    return lines[::-1]

"""Reply: what a request asked for, and what came back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

LOST: Final = 0
"""The status of a request whose connection ended without a response."""

REFUSED: Final = -1
"""The status of a request that was not sent, because the server accepted no connection."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request to a server: for a certain version, or for `live` if `version` is None.

    `oldest` is the oldest version with which `live` may answer: the newest that was acknowledged
    before, by this server or by the one whose token is sent.
    """

    server: int
    task: str
    oldest: int
    version: int | None = None
    token: str | None = None

    @property
    def model(self) -> str:
        return self.task if self.version is None else f"{self.task}@{self.version}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a question. `version` and `label` are those of an answer.

    `sent_at` and `seconds` are measured with `time.monotonic`.
    """

    question: Question
    sent_at: float
    seconds: float
    status: int
    task: str = ""
    version: int = 0
    label: str = ""
    is_retriable: bool = False
    detail: str = ""

    @classmethod
    def of(
        cls, question: Question, sent_at: float, seconds: float, answer: httpx.Response
    ) -> "Reply":
        """Read a response."""
        if answer.status_code != 200:
            is_retriable = answer.status_code == 503 and "Retry-After" in answer.headers
            return cls(
                question,
                sent_at,
                seconds,
                answer.status_code,
                is_retriable=is_retriable,
                detail=answer.text[:300],
            )
        return cls(question, sent_at, seconds, 200, **_result(answer.json()))


def _result(body: Mapping[str, Any]) -> dict[str, Any]:
    (result,) = body["results"]
    name, _, version = str(result["model"]).partition("@")
    return {"task": name, "version": int(version), "label": str(result["label"])}

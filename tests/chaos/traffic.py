"""Traffic: threads that send requests to all servers, and check every answer."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.chaos.numbered import label_of
from tests.chaos.servers import SharingServer

_PAUSE: Final = 0.1
_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a request. `problem` says what is wrong with it; None: nothing.

    `is_lost` is a request whose server went away.
    """

    sent_at: float
    server: int
    status: int
    problem: str | None = None
    is_lost: bool = False


@dataclass(slots=True, eq=False)
class Traffic:
    """Requests for the live versions of tasks, until `stop`."""

    servers: Sequence[SharingServer]
    key: str
    tasks: Sequence[str]
    replies: list[Reply] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, num_threads: int) -> None:
        for seed in range(num_threads):
            thread = threading.Thread(target=self._send_all, args=(seed,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop sending, and wait for the last replies."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _send_all(self, seed: int) -> None:
        chance = random.Random(seed)
        with httpx.Client(
            headers={"Authorization": f"Bearer {self.key}"}, timeout=_TIMEOUT
        ) as client:
            while not self._stopped.wait(_PAUSE):
                number = chance.randrange(len(self.servers))
                self.replies.append(self._send(client, number, chance.choice(self.tasks)))

    def _send(self, client: httpx.Client, number: int, task: str) -> Reply:
        sent_at = time.monotonic()
        url = f"{self.servers[number].url}/v1/classify"
        try:
            answer = client.post(url, json={"model": task, "input": "a good train"})
        except httpx.TransportError:
            return Reply(sent_at, number, 0, is_lost=True)
        if answer.status_code == 200:
            return Reply(sent_at, number, 200, wrong_answer(task, answer.json()))
        return Reply(sent_at, number, answer.status_code, not_retriable(answer))


def wrong_answer(task: str, body: dict[str, Any]) -> str | None:
    """Say what is wrong with a response: it must have the label of the version that it names."""
    (result,) = body["results"]
    name, _, version = str(result["model"]).partition("@")
    if not name.endswith(task):
        return f"asked for {task}, and {name} answered"
    if result["label"] != label_of(int(version)):
        return f"{result['model']} answered {result['label']}"
    return None


def not_retriable(answer: httpx.Response) -> str | None:
    """Say what is wrong with an error: only 503 with `Retry-After` may occur."""
    if answer.status_code == 503 and "Retry-After" in answer.headers:
        return None
    return f"{answer.status_code} {answer.text[:200]}"

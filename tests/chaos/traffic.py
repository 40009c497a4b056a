"""Traffic: threads that send requests to all servers, and record every reply."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from tests.chaos.publishing import TOKEN, Publisher
from tests.chaos.replies import LOST, REFUSED, Question, Reply
from tests.chaos.servers import Address

_PAUSE: Final = 0.1
_TIMEOUT: Final = 120.0
_PINNED: Final = 0.3
"""Share of the requests that name a version. Most of these were evicted from memory."""


@dataclass(slots=True, eq=False)
class Traffic:
    """Requests for versions of the publisher's task, until `stop`. The servers may change."""

    servers: Sequence[Address]
    publisher: Publisher
    replies: list[Reply] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[Future[None]] = field(default_factory=list)

    def start(self, num_threads: int) -> None:
        pool = ThreadPoolExecutor(num_threads)
        self._threads = [pool.submit(self._send_all, seed) for seed in range(num_threads)]
        pool.shutdown(wait=False)

    def stop(self) -> None:
        """Stop sending, and wait for the last replies. Raises what a thread has raised."""
        self._stopped.set()
        for thread in self._threads:
            thread.result()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.publisher.key}"}
        return httpx.Client(headers=headers, timeout=_TIMEOUT)

    def newest(self, server: int) -> Question:
        """Ask a server for the newest version that any server has acknowledged."""
        newest = self.publisher.acknowledged[-1]
        return Question(server, self.publisher.task, newest.version, token=newest.token)

    def send(self, client: httpx.Client, question: Question) -> Reply:
        """Send a question, and return the reply."""
        sent_at = time.monotonic()
        url = f"{self.servers[question.server].url}/v1/classify"
        headers = {} if question.token is None else {TOKEN: question.token}
        body = {"model": question.model, "input": "a good train"}
        try:
            answer = client.post(url, json=body, headers=headers)
        except httpx.TransportError as error:
            status = REFUSED if isinstance(error, httpx.ConnectError) else LOST
            seconds = time.monotonic() - sent_at
            return Reply(question, sent_at, seconds, status, detail=repr(error))
        return Reply.of(question, sent_at, time.monotonic() - sent_at, answer)

    def _send_all(self, seed: int) -> None:
        chance = random.Random(seed)
        with self.client() as client:
            while not self._stopped.wait(_PAUSE):
                self.replies.append(self.send(client, self._question(chance)))

    def _question(self, chance: random.Random) -> Question:
        publisher, server = self.publisher, chance.randrange(len(self.servers))
        if chance.random() < _PINNED:
            version = chance.choice(publisher.acknowledged).version
            # Without the token, the server may not have heard of the version yet.
            return replace(self.newest(server), version=version, oldest=version)
        if chance.random() < 0.5:
            return self.newest(server)
        return Question(server, publisher.task, publisher.newest.get(server, 0))

"""Access: a client that changes a tenant's keys and readers, and records what was acknowledged."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_READERS: Final = ("left", "right", "middle")
_MAX_KEYS: Final = 20
_LIMIT: Final = "requests_per_second"

Change = tuple[str, httpx.Response, Callable[[], None]]
"""The kind of a change, its response, and what to record if it was acknowledged."""


@dataclass(slots=True)
class Access:
    """The keys of a tenant and the readers of its task, as the server acknowledged them.

    `may_appear`, `may_end`, `may_flip` and `may_limit` are the possible effects of the request in
    flight.
    """

    name: str
    chance: random.Random
    secrets: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    limits: dict[str, float] = field(default_factory=dict)
    may_appear: bool = False
    may_end: str | None = None
    may_flip: str | None = None
    may_limit: float | None = None

    @property
    def path(self) -> str:
        return f"/v1/tenants/{self.name}"

    def change(self, client: httpx.Client) -> Change:
        """Make one change. The caller records it if it succeeded, and calls `settle`."""
        if self.chance.random() < 0.4:
            return self._share(client)
        if len(self.secrets) < 2:
            return self._issue(client)
        if len(self.secrets) > _MAX_KEYS:
            return self._revoke(client)
        make = self.chance.choice((self._issue, self._rotate, self._revoke, self._limit))
        return make(client)

    def settle(self) -> None:
        """Forget the possible effects of a request that was answered."""
        self.may_appear, self.may_end, self.may_flip, self.may_limit = False, None, None, None

    def problems(self, client: httpx.Client) -> Iterator[str]:
        """Compare the server's content with what it acknowledged, and continue from there."""
        found = list(_keys(client, f"{self.path}/keys"))
        states = {key["id"]: key["state"] for key in found}
        replacements = {key["replaced_by"] for key in found} - {None}
        if not replacements <= states.keys():
            yield f"{self.name}: replacements are missing: {replacements - states.keys()}"
        yield from self._problems_of_keys(states, client)
        yield from self._problems_of_readers(client)
        self.settle()

    def _problems_of_keys(self, states: dict[str, str], client: httpx.Client) -> Iterator[str]:
        for key_id in self.ended:
            if states.get(key_id) == "valid":
                yield f"{self.name}: key {key_id} is valid, acknowledged was its end"
        for key_id, key in list(self.secrets.items()):
            is_valid = states.get(key_id) == "valid"
            if not is_valid and key_id != self.may_end:
                yield f"{self.name}: key {key_id} is {states.get(key_id)}, acknowledged was valid"
            headers = {"Authorization": f"Bearer {key}"}
            if client.get("/v1/models", headers=headers).is_success != is_valid:
                yield f"{self.name}: key {key_id} does not work as its state says"
            if is_valid:
                yield from self._problems_of_limit(key_id, client)
            else:
                self._end(key_id)
        unknown = {
            key_id for key_id, state in states.items() if state == "valid"
        } - self.secrets.keys()
        # The key of this client is one of them. Keys of requests that were cut off are revoked.
        for key_id in unknown - {_id_of(client)}:
            if not self.may_appear:
                yield f"{self.name}: key {key_id} was not acknowledged"
            client.delete(f"{self.path}/keys/{key_id}")

    def _problems_of_limit(self, key_id: str, client: httpx.Client) -> Iterator[str]:
        shown = client.get(f"{self.path}/keys/{key_id}/limits").json()["limits"]
        found, known = shown.get(_LIMIT), self.limits.get(key_id)
        if found not in {known, self.may_limit}:
            yield f"{self.name}: limit of key {key_id} is {found}, acknowledged was {known}"
        if found is not None:
            self.limits[key_id] = found

    def _problems_of_readers(self, client: httpx.Client) -> Iterator[str]:
        answer = client.get(f"{self.path}/prefixes/task/readers")
        found = set(answer.json()["tenants"]) if answer.is_success else set()
        if (found ^ self.readers) - {self.may_flip}:
            yield f"{self.name}: readers are {found}, acknowledged were {self.readers}"
        self.readers = found

    def _issue(self, client: httpx.Client) -> Change:
        self.may_appear = True
        answer = client.post(f"{self.path}/keys", json={"role": "infer"})
        return "issue", answer, lambda: self._add(answer.json())

    def _rotate(self, client: httpx.Client) -> Change:
        old = self.chance.choice(list(self.secrets))
        self.may_appear, self.may_end = True, old
        answer = client.post(f"{self.path}/keys/{old}/rotate", json={"overlap_seconds": 0})

        def note() -> None:
            new = answer.json()
            if old in self.limits:
                self.limits[new["id"]] = self.limits[old]
            self._end(old)
            self._add(new)

        return "rotate", answer, note

    def _revoke(self, client: httpx.Client) -> Change:
        old = self.chance.choice(list(self.secrets))
        self.may_end = old
        answer = client.delete(f"{self.path}/keys/{old}")
        return "revoke", answer, lambda: self._end(old)

    def _limit(self, client: httpx.Client) -> Change:
        key_id = self.chance.choice(list(self.secrets))
        rate = self.may_limit = self.chance.randint(10_000, 99_999)
        answer = client.patch(f"{self.path}/keys/{key_id}/limits", json={_LIMIT: rate})
        return "limit", answer, lambda: self.limits.update({key_id: rate})

    def _share(self, client: httpx.Client) -> Change:
        reader = self.chance.choice(_READERS)
        self.may_flip = reader
        method = "DELETE" if reader in self.readers else "PUT"
        answer = client.request(method, f"{self.path}/prefixes/task/readers/{reader}")
        return "share", answer, lambda: self.readers.symmetric_difference_update({reader})

    def _add(self, issued: dict[str, Any]) -> None:
        self.secrets[issued["id"]] = issued["key"]

    def _end(self, key_id: str) -> None:
        self.secrets.pop(key_id, None)
        self.limits.pop(key_id, None)
        self.ended.add(key_id)


def _keys(client: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """List all keys, page by page."""
    page: str | None = path
    while page is not None:
        answer = client.get(page).json()
        yield from answer["keys"]
        page = answer["next"]


def _id_of(client: httpx.Client) -> str:
    return client.headers["Authorization"].split("_")[1]

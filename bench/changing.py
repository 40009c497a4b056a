"""Tenant: a client that changes its task at random and records what was acknowledged."""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import httpx

from bench.changing_access import Access
from prefixes import BackboneFingerprint, digest_of
from tests.factories import make_prefix

_NUM_DOWNLOADS: Final = 5
_CONFIG: Final = {"prefix_length": 4, "max_length": 16, "epochs": 2, "initialization": "noise"}
_ROWS: Final = "text,label\n" + "".join(
    f"{text} {number},{label}\n"
    for number in range(20)
    for text, label in (("good film", "yes"), ("bad plot", "no"))
)


@dataclass(slots=True)
class Pending:
    """The possible effects of the request in flight, which may have been applied or not."""

    may_appear: str | None = None
    may_vanish: int | None = None
    may_move: bool = False
    may_start: tuple[int, float] | None = None
    may_cancel: bool = False

    def canaries(self, acknowledged: tuple[int, float] | None) -> set[tuple[int, float] | None]:
        """Return the canaries that may be found: versions with percentages, or None for none."""
        possible = {acknowledged}
        if self.may_start is not None:
            possible.add(self.may_start)
        if self.may_move or self.may_cancel:
            possible.add(None)
        return possible


@dataclass(slots=True)
class Tenant:
    """A client that changes one task, and the changes that the server acknowledged."""

    name: str
    key: str
    backbone: BackboneFingerprint
    chance: random.Random
    num_files: int
    """Seed of the next file. Each tenant starts from a different number."""
    versions: dict[int, str] = field(default_factory=dict)
    live: int | None = None
    canary: tuple[int, float] | None = None
    """The version of the canary of `live`, and its share."""
    trainings: set[str] = field(default_factory=set)
    acknowledged: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    pending: Pending = field(default_factory=Pending)
    url: str = ""
    access: Access = field(init=False)

    def __post_init__(self) -> None:
        self.access = Access(self.name, self.chance)

    @property
    def path(self) -> str:
        return f"/v1/tenants/{self.name}/prefixes/task"

    @property
    def others(self) -> list[int]:
        """The versions that `live` does not point to."""
        return [number for number in self.versions if number != self.live]

    def client(self, url: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=url, headers=headers, timeout=120)

    def work(self) -> None:
        """Make one change after another until the server is gone."""
        tasks = (self.publish, self.promote, self.roll_back, self.delete, self.train)
        changes = (*tasks, self.change_access, self.change_canary)
        with self.client(self.url) as client:
            try:
                while True:
                    (change,) = self.chance.choices(changes, weights=(5, 4, 2, 3, 1, 5, 4))
                    change(client)
                    self.pending = Pending()
                    self.access.settle()
            except httpx.TransportError:
                return

    def publish(self, client: httpx.Client) -> None:
        self.num_files += 1
        data = make_prefix(self.backbone, seed=self.num_files).to_bytes()
        is_live = self.chance.random() < 0.5
        self.pending = Pending(may_appear=digest_of(data), may_move=True)
        form = {"alias": "live"} if is_live else {}
        answer = client.post(f"{self.path}/versions", files={"file": ("f", data)}, data=form)
        if self.is_done("publish", answer):
            number = answer.json()["version"]
            self.versions[number] = digest_of(data)
            if is_live or self.live is None:
                self._move(number)

    def promote(self, client: httpx.Client) -> None:
        if self.others:
            version = self.chance.choice(self.others)
            self.pending = Pending(may_move=True)
            answer = client.put(f"{self.path}/aliases/live", json={"version": version})
            if self.is_done("promote", answer):
                self._move(version)

    def roll_back(self, client: httpx.Client) -> None:
        if self.versions:
            self.pending = Pending(may_move=True)
            answer = client.post(f"{self.path}/aliases/live/rollback")
            if answer.status_code != 409 and self.is_done("rollback", answer):
                self._move(answer.json()["version"])

    def change_canary(self, client: httpx.Client) -> None:
        """Start, replace, promote or cancel the canary of `live`."""
        path = f"{self.path}/aliases/live/canary"
        change = self.chance.choice(("start", "promote", "cancel"))
        if self.canary is None or change == "start":
            self._start_canary(client, path)
        elif change == "promote":
            self.pending = Pending(may_move=True)
            if self.is_done("canary", client.post(f"{path}/promote")):
                self._move(self.canary[0])
        else:
            self.pending = Pending(may_cancel=True)
            if self.is_done("canary", client.delete(path)):
                self.canary = None

    def _start_canary(self, client: httpx.Client, path: str) -> None:
        if self.others:
            canary = (self.chance.choice(self.others), float(self.chance.randint(1, 99)))
            self.pending = Pending(may_start=canary)
            plan = {"version": canary[0], "percent": canary[1]}
            if self.is_done("canary", client.put(path, json=plan)):
                self.canary = canary

    def _move(self, version: int) -> None:
        """Record that `live` points to another version, which ends its canary."""
        self.live, self.canary = version, None

    def delete(self, client: httpx.Client) -> None:
        in_use = None if self.canary is None else self.canary[0]
        others = [number for number in self.others if number != in_use]
        if len(others) > 3:
            version = self.chance.choice(others)
            self.pending = Pending(may_vanish=version)
            if self.is_done("delete", client.delete(f"{self.path}/versions/{version}")):
                del self.versions[version]

    def train(self, client: httpx.Client) -> None:
        answer = client.post(
            f"/v1/tenants/{self.name}/trainings",
            files={"file": ("rows.csv", _ROWS.encode())},
            data={"task": "trained", "config": json.dumps(_CONFIG)},
        )
        if answer.status_code != 429 and self.is_done("train", answer):
            self.trainings.add(answer.json()["id"])

    def change_access(self, client: httpx.Client) -> None:
        if self.versions:  # only a task that exists can be shared
            kind, answer, note = self.access.change(client)
            if self.is_done(kind, answer):
                note()

    def is_done(self, kind: str, answer: httpx.Response) -> bool:
        if answer.is_success:
            self.acknowledged[kind] += 1
        else:
            self.problems.append(f"{self.name}: {kind} got {answer.status_code}: {answer.text}")
        return answer.is_success

    def check(self, url: str) -> None:
        """Compare the server's content with what it acknowledged, and continue from there."""
        self.url = url
        with self.client(url) as client:
            answer = client.get(self.path)
            entry = answer.json() if answer.is_success else {"versions": [], "aliases": []}
            found = {version["version"]: version["digest"] for version in entry["versions"]}
            live = {alias["name"]: alias["version"] for alias in entry["aliases"]}.get("live")
            self.compare(found, live)
            self.compare_canary(client)
            for number in self.chance.sample(list(found), min(_NUM_DOWNLOADS, len(found))):
                answer = client.get(f"{self.path}/versions/{number}/file")
                if digest_of(answer.content) != found[number]:
                    self.problems.append(f"{self.name}: version {number} is {answer.status_code}")
            self.check_trainings(client)
            self.problems += self.access.problems(client)
        self.versions, self.live, self.pending = found, live, Pending()

    def compare(self, found: dict[int, str], live: int | None) -> None:
        lost = {n for n, digest in self.versions.items() if found.get(n) != digest}
        extra = {n for n in found.keys() - self.versions if found[n] != self.pending.may_appear}
        if lost - {self.pending.may_vanish} or extra:
            self.problems.append(f"{self.name}: lost {lost}, not acknowledged {extra}")
        if live != self.live and not self.pending.may_move:
            self.problems.append(f"{self.name}: live is {live}, acknowledged was {self.live}")

    def compare_canary(self, client: httpx.Client) -> None:
        answer = client.get(f"{self.path}/aliases/live/canary")
        plan = answer.json()
        found = (plan["version"], plan["percent"]) if answer.is_success else None
        if found not in self.pending.canaries(self.canary):
            known = self.canary
            self.problems.append(f"{self.name}: canary is {found}, acknowledged was {known}")
        self.canary = found

    def check_trainings(self, client: httpx.Client) -> None:
        for training in self.trainings:
            answer = client.get(f"/v1/tenants/{self.name}/trainings/{training}")
            state = answer.json().get("state")
            if not answer.is_success or state in {"failed", "cancelled"}:
                self.problems.append(f"{self.name}: training {training} is lost: {answer.text}")
            elif state == "succeeded":
                version = answer.json()["result"]["version"]
                path = f"/v1/tenants/{self.name}/prefixes/trained/versions/{version}"
                if not client.get(path).is_success:
                    self.problems.append(f"{self.name}: the result of {training} is lost")

"""World: the tenants, prefixes, keys and trainings that generated requests refer to.

Many generated changes remove or lock something. It comes back before the next request, so that
requests keep reaching the code behind the checks of names and keys.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from prefixes.backbone import Backbone
from prefixes.errors import CanaryNotFound, PrefixNotFound, RulesNotFound
from prefixes.limits import LIMIT_NAMES
from prefixes.registry import ROLES, Actor, CanaryPlan, FeedbackRule, Role
from prefixes.registry.recorded_answer_rows import NewAnswer
from prefixes.registry.tables import now
from prefixes.spec import AliasRuleSet, TaskType
from server.api.access import NEEDED
from server.api.services import Services
from server.batch_files.records import BatchRequest
from server.feedback.contents import AnswerContent
from server.job_ids import new_id
from tests.factories import make_prefix
from tests.server.rest import Rest, put, serving

FUZZER: Final = Actor("fuzzer")
OWNER: Final = "acme"
OTHER: Final = "zoo"
PUBLIC: Final = "examples"

PREFIXES: Final[dict[str, TaskType]] = {
    "acme/mood": "sequence_classification",
    "acme/names": "token_classification",
    "acme/faq": "question_answering",
    "acme/causes": "multiple_choice",
    "acme/search": "embedding",
    "zoo/secret": "sequence_classification",
    "examples/sst2": "sequence_classification",
    "examples/mood": "sequence_classification",
}
"""Prefixes that always exist. Requests in the OpenAPI document use some of these names."""

WEBHOOK: Final[dict[str, Any]] = {
    "url": "https://hooks.example.org/polyprefix",
    "events": ["alias.moved"],
}
"""A valid webhook. No such host exists."""

TENSOR: Final[dict[str, Any]] = {
    "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]
}
"""A valid request of the Open Inference Protocol to `acme/mood`."""

_ROWS: Final = b"text,label\ngood,yes\nbad,no\n"
_SENDERS: Final = ("operator", "operator", "admin", "admin", "upload", "infer", "other", "nobody")
"""Those that may do more send more requests."""


@dataclass(slots=True)
class World:
    """A server with content that requests can find. `keys` are those of senders, by name."""

    rest: Rest
    backbone: Backbone
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        services: Services = self.rest.app.state.services
        return services

    def restore(self) -> None:
        """Bring back what requests have removed: tenants, keys and prefixes."""
        for tenant in (OWNER, OTHER, PUBLIC):
            if self.services.tenants.find(tenant).state != "active":
                self.services.tenants.resume(tenant, by=FUZZER)
            limits = self.services.limits
            if limits.of_tenant(tenant).set:
                limits.change_tenant(tenant, dict.fromkeys(LIMIT_NAMES), by=FUZZER)
        self.rest.registry.ensure_tenant(PUBLIC, is_public=True)
        for role in ROLES:
            self._restore_key(role, None if role == "operator" else OWNER, role)
        self._restore_key("other", OTHER, "admin")
        for ref in PREFIXES:
            self._restore_prefix(ref)
        self._restore_canary()
        self._restore_rules()

    def sender(self, fingerprint: str) -> str | None:
        """Choose the key of a request; None for a request without one."""
        number = int(hashlib.sha256(fingerprint.encode("utf-8", "replace")).hexdigest(), 16)
        return self.keys.get(_SENDERS[number % len(_SENDERS)])

    def key_for(self, route: str) -> str:
        """Return a key of the owner or of an operator that may call a route."""
        return self.keys["operator" if NEEDED.get(route) == "operator" else "admin"]

    def spare_key_id(self, tenant: str | None) -> str:
        """Return the id of a valid key that no request is sent with."""
        if tenant not in {None, OWNER, OTHER}:
            return "0" * 12
        name = f"spare of {tenant}"
        self._restore_key(name, tenant, "operator" if tenant is None else "infer")
        return self.keys[name].split("_")[1]

    def some_version(self, tenant: str, task: str) -> int:
        """Return the number of the oldest version of a task; 1 if it has no version."""
        try:
            versions = self.rest.registry.show(tenant, task, reader=tenant).versions
        except PrefixNotFound:
            return 1
        return versions[0].number if versions else 1

    def spare_task(self) -> dict[str, str | int]:
        """Publish a task anew, and return the parameters of paths about it.

        The alias `live` has moved from the first version, which is the one returned, to the second.
        """
        registry = self.rest.registry
        with suppress(PrefixNotFound):
            registry.remove_prefix(OWNER, "spare", by=FUZZER)
        for seed in (200, 201):
            put(registry, f"{OWNER}/spare", make_prefix(self.backbone.fingerprint, seed=seed))
        version = self.some_version(OWNER, "spare")
        return {"tenant": OWNER, "task": "spare", "version": version, "alias": "live"}

    def deleted(self, *, is_version: bool) -> dict[str, str | int]:
        """Delete a prefix or a version, and return the parameters of the path that restores it."""
        spare = self.spare_task()
        if is_version:
            self.rest.registry.delete_version(OWNER, "spare", int(spare["version"]), by=FUZZER)
        else:
            self.rest.registry.delete_prefix(OWNER, "spare", by=FUZZER)
        return spare

    def canary_version(self) -> int:
        """Return a version of `acme/mood` that its alias `live` does not point to."""
        entry = self.rest.registry.show(OWNER, "mood", reader=OWNER)
        (live,) = (alias.version for alias in entry.aliases if alias.name == "live")
        return next(one.number for one in entry.versions if one.number != live)

    def some_webhook(self) -> dict[str, str | int]:
        """Return the parameters of the path of a webhook. There is at most one before a request."""
        webhooks = self.services.webhooks
        first, *others = webhooks.list(OWNER) or [
            webhooks.create(OWNER, WEBHOOK["url"], WEBHOOK["events"], by=FUZZER).webhook
        ]
        for other in others:  # there is a limit on their number
            webhooks.delete(OWNER, other.id, by=FUZZER)
        return {"tenant": OWNER, "webhook": first.id}

    def feedback(self) -> dict[str, Any]:
        """Record an answer of `acme/mood`, and return feedback on it."""
        services = self.services
        services.feedback.set(OWNER, FeedbackRule(is_enabled=True), by=FUZZER)
        content = AnswerContent({"text": "good"}, {"label": "bad"}).to_bytes()
        sealed = services.sealer.seal(content)
        version = self.some_version(OWNER, "mood")
        answer = NewAnswer(OWNER, "mood", version, "fuzz", 0, now(), sealed, 0.5)
        services.answers.add([answer])
        return {"request_id": "fuzz", "label": "good"}

    def finished_training(self, tenant: str) -> str:
        """Return the id of a training that has been canceled: its event stream ends."""
        store = self.services.trainings
        for training in store.list(tenant, before=None, limit=1):
            store.cancel(tenant, training.id)
            folder = self.services.training_folders.of(training.id)
            folder.report.parent.mkdir(parents=True, exist_ok=True)
            folder.report.write_text("{}")
            folder.curve.write_bytes(b"")
            return training.id
        return "0" * 32

    def finished_batch(self, tenant: str) -> str:
        """Return the id of a batch file that has been canceled."""
        for unfinished in self.services.batches.list(tenant, before=None, limit=100):
            self.services.batches.cancel(tenant, unfinished.id)  # their number is limited
        batch = new_id()
        self.services.batches.add(batch, BatchRequest(tenant, None, {}, "jsonl"), 1)
        self.services.batches.cancel(tenant, batch)
        return batch

    def prefix_file(self, seed: int) -> bytes:
        """Return a valid prefix file."""
        return make_prefix(self.backbone.fingerprint, seed=seed).to_bytes()

    def start_trainings(self) -> None:
        """Queue a training of each tenant with a key."""
        for tenant in (OWNER, OTHER):
            form: dict[str, Any] = {"files": {"file": ("rows.csv", _ROWS)}, "data": {"task": "t"}}
            started = self.rest.call("POST", f"/v1/tenants/{tenant}/trainings", tenant, **form)
            assert started.is_success, started.text

    def _restore_key(self, name: str, tenant: str | None, role: Role) -> None:
        keys = self.services.keys
        if name not in self.keys or keys.authenticate(self.keys[name]) is None:
            self.keys[name] = keys.issue(tenant, "fuzz", role=role, by=FUZZER).key

    def _restore_prefix(self, ref: str) -> None:
        """Publish two versions unless there are as many, and move the alias `live` to the last."""
        tenant, task = ref.split("/")
        try:
            entry = self.rest.registry.show(tenant, task, reader=tenant)
            if len(entry.versions) > 1 and any(alias.name == "live" for alias in entry.aliases):
                return
        except PrefixNotFound:
            pass
        for seed in (100, 101):
            fingerprint, kind = self.backbone.fingerprint, PREFIXES[ref]
            put(self.rest.registry, ref, make_prefix(fingerprint, seed=seed, task_type=kind))

    def _restore_canary(self) -> None:
        """Start a canary of `acme/mood:live` unless it has one."""
        canaries = self.services.canaries
        try:
            canaries.find(OWNER, "mood", "live")
        except CanaryNotFound:
            plan = CanaryPlan(self.canary_version(), 50)
            canaries.set(OWNER, "mood", "live", plan, by=FUZZER)

    def _restore_rules(self) -> None:
        """Set rules of `acme/mood:live` unless it has some."""
        rules = self.services.alias_rules
        try:
            rules.find(OWNER, "mood", "live")
        except RulesNotFound:
            rules.set(OWNER, "mood", "live", AliasRuleSet(min_score=0.1), by=FUZZER)


@contextmanager
def running_world(folder: Path, backbone: Backbone) -> Iterator[World]:
    """Serve a world from a folder."""
    settings: dict[str, Any] = {
        "max_queued_trainings": 10_000,
        "max_queued_trainings_per_tenant": 10_000,
        "max_inputs_per_request": 8,
        "max_body_kib": 64,
        "default_model": "examples/mood",
    }
    with serving(folder, backbone, **settings) as rest:
        world = World(rest, backbone)
        world.restore()
        world.start_trainings()
        yield world


def chance_of(fingerprint: str) -> random.Random:
    """Return random numbers that depend on a request alone."""
    return random.Random(fingerprint)

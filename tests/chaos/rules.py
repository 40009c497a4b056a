"""Rules: what must hold under faults, checked over everything that was seen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.numbered import label_of, number_of
from tests.chaos.replies import LOST, REFUSED, Reply

MAX_RECOVERY: Final = 10.0
"""Seconds after the end of a fault within which every server must answer."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A server was killed or stopped between two moments of `time.monotonic`."""

    server: int
    start: float
    end: float

    def explains(self, reply: Reply) -> bool:
        """Return whether the request was in flight or sent while the server was away."""
        until = reply.sent_at + reply.seconds
        return reply.question.server == self.server and (
            reply.sent_at <= self.end and until >= self.start
        )


@dataclass(frozen=True, slots=True)
class Published:
    """The published versions: the file of each acknowledged one, and files that may have been.

    `listed` has the versions that each server lists at the end.
    """

    numbers: Mapping[int, int]
    unacknowledged: AbstractSet[int] = frozenset()
    listed: Mapping[int, AbstractSet[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many cases of a rule were checked, and what violates it. `is_timed`: it limits a time."""

    rule: str
    num_checked: int
    violations: Sequence[str]
    is_timed: bool = False

    @property
    def is_kept(self) -> bool:
        return not self.violations


def answers_are_right(replies: Iterable[Reply], published: Published) -> Verdict:
    """Check that each answer is that of the file which was published as the version it names."""
    seen: dict[int, str] = {}
    answers = [reply for reply in replies if reply.status == 200]
    wrong = [text for one in answers for text in _wrong(one, published, seen)]
    return Verdict("every answer is that of the version it names", len(answers), wrong)


def _wrong(reply: Reply, published: Published, seen: dict[int, str]) -> Iterator[str]:
    question, version, label = reply.question, reply.version, reply.label
    answered = f"{reply.task}@{version} answered {label!r}"
    if reply.task.rpartition("/")[2] != question.task or question.version not in {None, version}:
        yield f"{answered} to a request for {question.model}"
    number = number_of(label)
    expected = published.numbers.get(version)
    if number is None:
        yield f"{answered}, which is the label of no file"
    elif expected is None and number not in published.unacknowledged:
        yield f"{answered}, but no such version was published"
    elif expected is not None and number != expected:
        yield f"{answered}, expected {label_of(expected)!r}"
    elif seen.setdefault(version, label) != label:
        yield f"{answered}, and {seen[version]!r} before"


def no_version_is_older(replies: Iterable[Reply]) -> Verdict:
    """Check that `live` never is a version before the one that the server or token knew of."""
    live = [one for one in replies if one.status == 200 and one.question.version is None]
    older = [
        f"server {one.question.server} answered with version {one.version} after version "
        f"{one.question.oldest} was {'named by the token' if one.question.token else 'promoted'}"
        for one in live
        if one.version < one.question.oldest
    ]
    return Verdict("no answer is older than an acknowledged promotion", len(live), older)


def nothing_is_lost(published: Published) -> Verdict:
    """Check that every server lists every acknowledged version."""
    lost = [
        f"server {server} does not list the acknowledged versions {sorted(missing)}"
        for server, listed in published.listed.items()
        if (missing := published.numbers.keys() - listed)
    ]
    return Verdict("no acknowledged version is lost", len(published.numbers), lost)


def errors_are_retriable(replies: Iterable[Reply]) -> Verdict:
    """Check that every error is 503 with `Retry-After`."""
    errors = [one for one in replies if one.status not in {REFUSED, LOST, 200}]
    others = [f"{one.status}: {one.detail}" for one in errors if not one.is_retriable]
    return Verdict("every error is 503 with Retry-After", len(errors), others)


def only_killed_servers_are_away(replies: Iterable[Reply], outages: Sequence[Outage]) -> Verdict:
    """Check that a request without a response was sent to a server that was away."""
    dropped = [one for one in replies if one.status in {REFUSED, LOST}]
    unexplained = [
        f"server {one.question.server} was not killed, but gave no response: {one.detail}"
        for one in dropped
        if not any(outage.explains(one) for outage in outages)
    ]
    return Verdict("only a killed server gives no response", len(dropped), unexplained)


def recovery_is_fast(recoveries: Mapping[str, Sequence[float]]) -> Verdict:
    """Check that every server answers soon after the end of each fault."""
    all_seconds = [(kind, one) for kind, each in recoveries.items() for one in each]
    slow = [f"{kind}: {one:.1f} s" for kind, one in all_seconds if one > MAX_RECOVERY]
    return Verdict(f"recovery within {MAX_RECOVERY:.0f} s", len(all_seconds), slow, is_timed=True)

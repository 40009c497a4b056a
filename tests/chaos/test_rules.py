"""Rules find every kind of violation, and report nothing else."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pytest

from tests.chaos import rules
from tests.chaos.numbered import label_of, number_of
from tests.chaos.replies import LOST, REFUSED, Question, Reply
from tests.chaos.rules import MAX_RECOVERY, Outage, Published

LIVE: Final = Question(server=0, task="numbered", oldest=3)
RIGHT: Final = Reply(
    LIVE, sent_at=10.0, seconds=0.1, status=200, task="acme/numbered", version=3, label=label_of(7)
)
PUBLISHED: Final = Published({3: 7, 4: 8}, unacknowledged={9, 10}, listed={0: {3, 4}, 1: {3, 4}})
UNAVAILABLE: Final = replace(RIGHT, status=503, is_retriable=True)


def test_what_is_right_violates_no_rule() -> None:
    outage = Outage(server=0, start=9.0, end=12.0)
    replies = [RIGHT, UNAVAILABLE, replace(RIGHT, status=LOST), replace(RIGHT, status=REFUSED)]
    verdicts = [
        rules.answers_are_right(replies, PUBLISHED),
        rules.no_version_is_older(replies),
        rules.nothing_is_lost(PUBLISHED),
        rules.errors_are_retriable(replies),
        rules.only_killed_servers_are_away(replies, [outage]),
        rules.recovery_is_fast({"server killed": [MAX_RECOVERY]}),
    ]
    assert [verdict.violations for verdict in verdicts] == [[]] * len(verdicts)
    assert [verdict.num_checked for verdict in verdicts] == [1, 1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"label": label_of(8)}, "expected '7:7'"),
        ({"label": "7:6"}, "the label of no file"),
        ({"version": 4}, "expected '8:8'"),
        ({"version": 5, "label": label_of(11)}, "no such version was published"),
        ({"task": "acme/other"}, "to a request for numbered"),
        ({"question": replace(LIVE, version=4)}, "to a request for numbered@4"),
    ],
)
def test_a_wrong_answer_is_found(change: Mapping[str, Any], text: str) -> None:
    verdict = rules.answers_are_right([RIGHT, replace(RIGHT, **change)], PUBLISHED)
    (violation,) = verdict.violations
    assert text in violation


def test_a_version_of_a_failed_publication_has_one_of_its_files_and_always_the_same() -> None:
    first = replace(RIGHT, version=5, label=label_of(9))
    assert rules.answers_are_right([first, first], PUBLISHED).is_kept
    other = replace(first, label=label_of(10))
    (violation,) = rules.answers_are_right([first, other], PUBLISHED).violations
    assert "'9:9' before" in violation


@pytest.mark.parametrize("token", [None, "1764486000123456"])
def test_an_older_version_after_a_promotion_is_found(token: str | None) -> None:
    older = replace(RIGHT, question=replace(LIVE, oldest=4, token=token))
    (violation,) = rules.no_version_is_older([RIGHT, older]).violations
    assert "version 3 after version 4" in violation


def test_an_old_version_may_answer_a_request_that_names_it() -> None:
    pinned = replace(RIGHT, question=replace(LIVE, oldest=4, version=3))
    assert rules.no_version_is_older([pinned]).is_kept


def test_a_lost_version_is_found_at_the_server_that_lost_it() -> None:
    published = replace(PUBLISHED, listed={0: {3, 4}, 1: {4}})
    (violation,) = rules.nothing_is_lost(published).violations
    assert violation == "server 1 does not list the acknowledged versions [3]"


@pytest.mark.parametrize(("status", "is_retriable"), [(503, False), (500, False), (404, False)])
def test_an_error_that_is_not_retriable_is_found(status: int, *, is_retriable: bool) -> None:
    error = replace(UNAVAILABLE, status=status, is_retriable=is_retriable)
    assert not rules.errors_are_retriable([UNAVAILABLE, error]).is_kept


@pytest.mark.parametrize("status", [LOST, REFUSED])
@pytest.mark.parametrize(
    "outage",
    [
        Outage(server=1, start=9.0, end=12.0),
        Outage(server=0, start=10.2, end=12.0),
        Outage(server=0, start=8.0, end=9.9),
    ],
    ids=["another server", "later", "earlier"],
)
def test_a_dropped_request_is_found(outage: Outage, status: int) -> None:
    dropped = replace(RIGHT, status=status)
    assert not rules.only_killed_servers_are_away([dropped], [outage]).is_kept


def test_a_slow_recovery_is_found() -> None:
    verdict = rules.recovery_is_fast({"disk full": [0.1, MAX_RECOVERY + 1]})
    assert verdict.violations == ["disk full: 11.0 s"]


def test_labels_name_the_file_and_its_tensors() -> None:
    assert number_of(label_of(23)) == 23
    assert number_of("23:8") is None
    assert number_of("good") is None

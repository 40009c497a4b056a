import errno

import pytest
from starlette.exceptions import HTTPException

from prefixes import Finding
from prefixes.errors import PrefixError, PrefixNotFound, PrefixRejected
from prefixes.registry import Identity
from server.api.auth import Caller
from server.api.problems import problem_of
from server.api.statuses import STATUS
from server.errors import Overloaded, RequestRefused, ServingError

ZOO = Identity("0123456789ab", "zoo", "infer", is_suspended=False, expires_at=float("inf"))


def family(base: type[Exception]) -> set[type[Exception]]:
    """All classes of an error tree, the base left out."""
    return {found for child in base.__subclasses__() for found in {child, *family(child)}}


@pytest.mark.parametrize("base", [PrefixError, ServingError, RequestRefused])
def test_every_error_class_has_a_status(base: type[Exception]) -> None:
    domain = {kind for kind in family(base) if kind.__module__.startswith(("prefixes", "server"))}
    assert domain
    for kind in domain:
        assert any(parent in STATUS for parent in kind.__mro__), kind


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in STATUS]  # type: ignore[attr-defined]
    assert len(set(codes)) == len(codes)


def test_each_finding_is_listed() -> None:
    rejected = PrefixRejected(
        (Finding("bad_shape", "prefix.keys", "(1,)", "(2,)", "mend"), Finding("x", "y", "z", "w"))
    )
    problem = problem_of(rejected)
    assert [finding["code"] for finding in problem.findings] == ["bad_shape", "x"]
    assert problem.findings[0]["hint"] == "mend"


def test_overload_says_when_to_retry() -> None:
    assert problem_of(Overloaded("full", retry_after_seconds=9)).retry_after == 9


def test_a_missing_prefix_requires_a_key_only_from_anonymous_callers() -> None:
    gone = PrefixNotFound("No such prefix: acme/x")
    assert problem_of(gone, Caller("zoo", ZOO)).status == 404
    anonymous = problem_of(gone, Caller(None))
    assert anonymous.status == 401
    assert "acme" not in anonymous.detail


def test_an_unexpected_error_shows_no_details() -> None:
    problem = problem_of(KeyError("password"))
    assert (problem.status, problem.code) == (500, "internal_error")
    assert "password" not in problem.detail


def test_an_http_error_keeps_its_headers() -> None:
    problem = problem_of(HTTPException(405, headers={"Allow": "GET"}))
    assert problem.headers == {"Allow": "GET"}


@pytest.mark.parametrize(("code", "status"), [(errno.ENOSPC, 503), (errno.EACCES, 500)])
def test_a_full_disk_is_always_an_error_of_the_store(code: int, status: int) -> None:
    problem = problem_of(OSError(code, "/tmp/spool is full"))
    assert problem.status == status
    assert "/tmp" not in problem.detail

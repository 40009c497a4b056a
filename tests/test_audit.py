"""The audit of dependencies never reports success for what it did not check."""

from typing import Any

import pytest

from tests import audit
from tests.audit import CLEAN, INCOMPLETE, VULNERABLE, Audit

GOOD: dict[str, Any] = {"name": "good", "version": "1.0", "vulns": []}
BAD: dict[str, Any] = {
    "name": "bad",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN: dict[str, Any] = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "code", "expected"),
    [
        ([GOOD, GOOD], CLEAN, "2 dependencies have no known vulnerability."),
        ([GOOD, BAD], VULNERABLE, "VULNERABLE: bad 1.0: PYSEC-1, PYSEC-2. Fixed in 1.1."),
        ([GOOD, UNKNOWN], INCOMPLETE, "NOT CHECKED: the index does not know 1 dependencies"),
        ([BAD, UNKNOWN], VULNERABLE, "NOT CHECKED"),
        ([], INCOMPLETE, "0 dependencies"),
    ],
)
def test_only_a_complete_lookup_without_findings_is_a_success(
    found: list[dict[str, Any]], code: int, expected: str
) -> None:
    result = Audit.of({"dependencies": found})
    assert result.exit_code == code
    assert expected in "\n".join(result.lines())


def test_without_a_network_nothing_was_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert audit.main() == INCOMPLETE
    assert capsys.readouterr().out.startswith("NOT CHECKED: pip-audit failed")

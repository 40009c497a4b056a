"""When messages are sent again."""

import pytest

from server.webhooks.retries import PAUSES, result_of


@pytest.mark.parametrize("status", [200, 204, 299])
def test_success_is_any_status_of_success(status: int) -> None:
    assert result_of(status, "", 1).state == "delivered"


@pytest.mark.parametrize("status", [None, 301, 400, 404, 429, 500, 503])
def test_other_results_are_retried_after_growing_pauses_until_there_were_too_many(
    status: int | None,
) -> None:
    results = [result_of(status, "why", number) for number in range(1, len(PAUSES) + 2)]
    assert [one.state for one in results] == ["pending"] * len(PAUSES) + ["failed"]
    for result, pause in zip(results, PAUSES, strict=False):
        assert result.retry_after is not None
        assert 0.8 * pause <= result.retry_after.total_seconds() <= 1.2 * pause
    assert 24 * 3600 < sum(PAUSES) < 48 * 3600


def test_an_endpoint_that_is_gone_gets_the_message_no_more() -> None:
    assert result_of(410, "gone", 1).state == "failed"

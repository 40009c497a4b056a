"""UsageMeter: what tenants have used since the last write to the database."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from prefixes import PrefixRef
from prefixes.registry import PrefixVersion
from prefixes.registry.usage import UsageRow

OTHER_TASKS: Final = "*"
_MAX_SERIES: Final = 20_000
"""Maximum number of triples of tenant, task and key, about 8 MB. Further tasks of a tenant count as
`OTHER_TASKS`, and for no key."""
_HOUR: Final = 3600


class _Series(NamedTuple):
    hour: int
    tenant: str | None
    task: str | None
    key_id: str | None


@dataclass(slots=True)
class _Amounts:
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    device_seconds: float = 0.0


class UsageMetrics(Protocol):
    """Metrics by tenant and by task, for operators who want them."""

    def request_answered(self, task: str) -> None: ...
    def text_run(
        self, tenant: str | None, task: str, tokens: int, device_seconds: float
    ) -> None: ...


class UsageMeter:
    """Adds up requests, texts, tokens and device time. Belongs to the engine's event loop."""

    def __init__(
        self,
        metrics: UsageMetrics | None = None,
        *,
        max_series: int = _MAX_SERIES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics
        self._max_series = max_series
        self._now = now
        self._series: dict[_Series, _Amounts] = {}

    def account(self, tenant: str | None, task: str, key_id: str | None = None) -> "Account":
        """Return the account of a tenant's use of a task, `owner/task`, with a key."""
        return Account(self, tenant, task, key_id)

    def accounts(
        self, tenant: str | None, versions: Mapping[PrefixRef, PrefixVersion], key_id: str | None
    ) -> "dict[PrefixRef, Account]":
        """Return the account of a tenant's use of each version, by its reference."""
        return {
            ref: self.account(tenant, f"{one.tenant}/{one.task}", key_id)
            for ref, one in versions.items()
        }

    def take(self) -> list[UsageRow]:
        """Return all amounts, and start over with none."""
        taken, self._series = self._series, {}
        return [_row(series, amounts) for series, amounts in taken.items()]

    def put_back(self, rows: Sequence[UsageRow]) -> None:
        """Add amounts that were taken, but could not be written."""
        for row in rows:
            hour = int(row.hour.timestamp()) // _HOUR
            amounts = self._amounts(_Series(hour, row.tenant, row.task, row.key_id))
            amounts.requests += row.requests
            amounts.texts += row.texts
            amounts.tokens += row.tokens
            amounts.device_seconds += row.device_seconds

    def current(self, account: "Account") -> _Amounts:
        """Return the amounts of an account in this hour."""
        hour = int(self._now()) // _HOUR
        return self._amounts(_Series(hour, account.tenant, account.task, account.key_id))

    def _amounts(self, series: _Series) -> _Amounts:
        found = self._series.get(series)
        if found is None:
            if len(self._series) >= self._max_series:
                series = series._replace(task=OTHER_TASKS, key_id=None)
            found = self._series.setdefault(series, _Amounts())
        return found


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's use of a task with a key. `tenant` is None for anonymous callers and operators."""

    meter: UsageMeter
    tenant: str | None
    task: str
    key_id: str | None

    def add_request(self) -> None:
        """Count a request that was answered."""
        self.meter.current(self).requests += 1
        if self.meter.metrics is not None:
            self.meter.metrics.request_answered(self.task)

    def add_text(self, tokens: int, device_seconds: float) -> None:
        """Count a text that the device ran."""
        amounts = self.meter.current(self)
        amounts.texts += 1
        amounts.tokens += tokens
        amounts.device_seconds += device_seconds
        if self.meter.metrics is not None:
            self.meter.metrics.text_run(self.tenant, self.task, tokens, device_seconds)


def _row(series: _Series, amounts: _Amounts) -> UsageRow:
    return UsageRow(
        datetime.fromtimestamp(series.hour * _HOUR, UTC),
        series.tenant,
        series.task,
        amounts.requests,
        amounts.texts,
        amounts.tokens,
        amounts.device_seconds,
        key_id=series.key_id,
    )

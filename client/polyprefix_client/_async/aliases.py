"""Canaries of aliases, and their rules for answers."""

from collections.abc import Mapping
from typing import Any, Literal

from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.names import alias_path
from polyprefix_client.requests import Call, get, matching, once, value_of
from polyprefix_client.versions import AliasTarget, Canary, CanaryReport, Rules


class AsyncCanaries:
    """Second versions that answer a share of an alias's callers."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def show(self, alias: str) -> Canary:
        """Show the canary of an alias."""
        return value_of(await self._transport.send(get(_canary_path(alias))), Canary)

    async def set(
        self,
        alias: str,
        *,
        version: int,
        percent: float,
        shadow_percent: float = 0.0,
        max_error_percent: float | None = None,
        max_disagreement_percent: float | None = None,
        min_samples: int = 100,
        if_etag: str | None = None,
        if_new: bool = False,
    ) -> Canary:
        """Start a canary, or change its shares and bounds."""
        plan = {
            "version": version,
            "percent": percent,
            "shadow_percent": shadow_percent,
            "max_error_percent": max_error_percent,
            "max_disagreement_percent": max_disagreement_percent,
            "min_samples": min_samples,
        }
        headers = matching(if_etag, is_new=if_new)
        call = Call(
            "PUT", _canary_path(alias), json=plan, headers=headers, is_idempotent=not headers
        )
        return value_of(await self._transport.send(call), Canary)

    async def report(self, alias: str) -> CanaryReport:
        """Compare the canary with the version that the alias points to."""
        path = f"{_canary_path(alias)}/report"
        return value_of(await self._transport.send(get(path)), CanaryReport)

    async def promote(self, alias: str, *, if_etag: str | None = None) -> AliasTarget:
        """Point the alias to the version of its canary."""
        headers = {**once(), **matching(if_etag)}
        call = Call("POST", f"{_canary_path(alias)}/promote", headers=headers, is_idempotent=True)
        return value_of(await self._transport.send(call), AliasTarget)

    async def cancel(self, alias: str, *, if_etag: str | None = None) -> None:
        """End the canary."""
        await self._transport.send(Call("DELETE", _canary_path(alias), headers=matching(if_etag)))


class AsyncAliasRules:
    """The rules of aliases, by which scores become answers."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def show(self, alias: str) -> Rules:
        """Show the rules of an alias."""
        return value_of(await self._transport.send(get(f"{alias_path(alias)}/rules")), Rules)

    async def set(
        self,
        alias: str,
        *,
        thresholds: Mapping[str, float] | None = None,
        min_score: float | None = None,
        abstain: bool | None = None,
        long_text: Literal["truncate", "windows"] | None = None,
        stride: int | None = None,
        merge: Literal["mean", "max", "first"] | None = None,
        if_etag: str | None = None,
        if_new: bool = False,
    ) -> Rules:
        """Set all rules of an alias. Those that are None are those of the file."""
        given: dict[str, Any] = {
            "thresholds": thresholds,
            "min_score": min_score,
            "abstain": abstain,
            "long_text": long_text,
            "stride": stride,
            "merge": merge,
        }
        rules = {name: value for name, value in given.items() if value is not None}
        headers = matching(if_etag, is_new=if_new)
        path = f"{alias_path(alias)}/rules"
        call = Call("PUT", path, json=rules, headers=headers, is_idempotent=not headers)
        return value_of(await self._transport.send(call), Rules)

    async def delete(self, alias: str, *, if_etag: str | None = None) -> None:
        """Delete the rules of an alias: those of its file apply again."""
        path = f"{alias_path(alias)}/rules"
        await self._transport.send(Call("DELETE", path, headers=matching(if_etag)))


def _canary_path(alias: str) -> str:
    return f"{alias_path(alias)}/canary"
